//! Chromium, and where pictures of pages go.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};

use super::npm;

/// Debian's, or whichever `CHROMIUM` names; none where there is none, which is said.
pub fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let found = named.unwrap_or_else(|| PathBuf::from("/usr/bin/chromium"));
    if found.exists() {
        return Some(found);
    }
    npm::say(&format!("skipped: there is no browser at {} (CHROMIUM names another)", found.display()));
    None
}

/// Where pictures go: `APPVIEW_PICTURES`, or a folder beside the tests' other files.
pub fn pictures() -> PathBuf {
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    let folder = std::env::var_os("APPVIEW_PICTURES").map_or(beside, |folder| {
        // Named from where whoever asks stands: the repository's root.
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)
    });
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
