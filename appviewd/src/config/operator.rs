//! Who runs the service, as people are told.

use std::str::FromStr;

use clap::Args;

/// Whom people have to do with.
#[derive(Debug, Clone, Default, Args)]
pub struct Operator {
    /// Who runs this service, as people are to read it: on every page, and in the policy at /privacy.
    #[arg(long = "operator", value_name = "NAME", env = "APPVIEWD_OPERATOR")]
    pub name: Option<String>,
    /// Where people reach whoever runs this service: a mail address, or the https URL of a page. Told at /privacy.
    #[arg(long, value_name = "ADDRESS", env = "APPVIEWD_CONTACT")]
    pub contact: Option<Contact>,
}

/// Where somebody is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact(String);

impl Contact {
    /// The address, as people read it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a link to it leads.
    #[must_use]
    pub fn href(&self) -> String {
        if self.0.starts_with("https://") { self.0.clone() } else { format!("mailto:{}", self.0) }
    }
}

impl FromStr for Contact {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
        let is_page =
            text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let is_mail = !text.contains([':', '/', '?', '&', '%', '#'])
            && text
                .split_once('@')
                .is_some_and(|(who, host)| !who.is_empty() && !host.is_empty() && !host.contains('@'));
        if is_plain && (is_page || is_mail) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a mail address like privacy@appview.example, or the https URL of a page".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_reached_by_mail_or_at_a_page() {
        let href = |text: &str| text.parse::<Contact>().map(|contact| contact.href()).ok();
        assert_eq!(href("privacy@appview.example").as_deref(), Some("mailto:privacy@appview.example"));
        assert_eq!(
            href("https://appview.example/contact?a=b").as_deref(),
            Some("https://appview.example/contact?a=b")
        );
        for bad in [
            "",
            "privacy",
            "a b@c.example",
            "@c.example",
            "a@",
            "javascript:alert@1",
            "http://a.example",
            "https:///a",
            "a@b?cc=d@e",
        ] {
            assert_eq!(href(bad), None, "{bad}");
        }
    }
}
