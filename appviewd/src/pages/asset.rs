//! The style sheet, the script and the icon: a part of the program, each under a name that tells its content.
//!
//! A name leads to one content for ever, so that a browser never asks again.

use std::sync::LazyLock;

use appview_core::block::Cid;

/// A file that pages refer to.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Where it is served.
    pub(crate) path: String,
    /// Its media type.
    pub(crate) kind: &'static str,
    /// What is in it.
    pub(crate) content: &'static str,
}

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", "text/css; charset=utf-8", include_str!("style.css")));
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("enhance", "js", "text/javascript; charset=utf-8", include_str!("enhance.js"))
});
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")));

impl Asset {
    fn new(name: &str, extension: &str, kind: &'static str, content: &'static str) -> Self {
        let digest = Cid::of(content.as_bytes());
        let hash: String = digest.digest().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { path: format!("/assets/{name}-{hash}.{extension}"), kind, content }
    }

    /// All of them.
    pub(crate) fn all() -> [&'static Self; 3] {
        [Self::style(), Self::script(), Self::icon()]
    }

    /// How pages look.
    pub(crate) fn style() -> &'static Self {
        &STYLE
    }

    /// What makes them better.
    pub(crate) fn script() -> &'static Self {
        &SCRIPT
    }

    /// What stands for them in a list of windows.
    pub(crate) fn icon() -> &'static Self {
        &ICON
    }
}
