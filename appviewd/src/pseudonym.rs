//! What people are called in a log: by a name that tells one from another, and nobody who they are.
//!
//! Lines of a log enter on their way out; they leave with each DID in them replaced, wherever it stood: in a field, an error, a URL. The
//! name is a keyed hash, and its key is gone with the process, so that two starts give two names and nobody can look one up.
//! Deliberately absent: whether it is wanted.

use std::io::{self, Write};
use std::sync::Arc;

use aws_lc_rs::hmac;

use crate::secret::{NoRandomness, Secret};

/// What a DID begins with, and how the colon may be written in a URL.
const SCHEME: &[u8] = b"did";
const COLONS: [&[u8]; 3] = [b":", b"%3A", b"%3a"];
/// Bytes of the hash that are shown: enough to tell some millions from one another.
const SHOWN: usize = 6;

/// Gives names; cheap to clone.
#[derive(Debug, Clone)]
pub struct Pseudonyms(Arc<hmac::Key>);

impl Pseudonyms {
    /// Names that nobody had before.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        let key = Secret::<[u8; 32]>::random()?;
        Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))))
    }

    /// A text with each DID replaced.
    #[must_use]
    pub fn hide(&self, text: &[u8]) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
        while let Some((&first, behind)) = rest.split_first() {
            match did(rest) {
                Some((did, behind)) => {
                    out.extend_from_slice(self.name(&did).as_bytes());
                    rest = behind;
                }
                None => {
                    out.push(first);
                    rest = behind;
                }
            }
        }
        out
    }

    fn name(&self, did: &[u8]) -> String {
        let hash = hmac::sign(&self.0, did);
        let shown = hash.as_ref().iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
        std::iter::once("did#".to_owned()).chain(shown).collect()
    }
}

/// The DID that a text begins with, as it is written outside of URLs, and what is behind it.
fn did(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let rest = colon(text.strip_prefix(SCHEME)?)?;
    let length = rest.iter().take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()).count();
    let (method, rest) = rest.split_at_checked(length).filter(|(method, _)| !method.is_empty())?;
    let rest = colon(rest)?;
    let is_of_one = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._:%-".contains(byte);
    let mut length = rest.iter().take_while(is_of_one).count();
    // What a sentence puts behind it is none of it.
    while rest.get(..length)?.last().is_some_and(|byte| b".:%".contains(byte)) {
        length -= 1;
    }
    let (id, behind) = rest.split_at_checked(length).filter(|(id, _)| !id.is_empty())?;
    Some(([SCHEME, method, id].join(&b':'), behind))
}

fn colon(text: &[u8]) -> Option<&[u8]> {
    COLONS.iter().find_map(|colon| text.strip_prefix(*colon))
}

/// Standard error, on which nobody is named. Each write is a line, as a log writes it.
#[derive(Debug)]
pub struct Hiding(pub Pseudonyms);

impl Write for Hiding {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(&self.0.hide(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ADA: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

    fn hide(names: &Pseudonyms, text: &str) -> String {
        String::from_utf8(names.hide(text.as_bytes())).unwrap()
    }

    #[test]
    fn a_did_is_hidden_wherever_it_stands_and_nothing_else_is() {
        let names = Pseudonyms::random().unwrap();
        let ada = hide(&names, ADA);
        assert!(ada.starts_with("did#") && ada.len() == 4 + 2 * SHOWN, "{ada}");
        for around in ["{}", "{}: not found.", "at://{}/dev.cocore.compute.job/a", "\"did\":\"{}\"", "¡{}!"]
        {
            let expected = around.replace("{}", &ada);
            assert_eq!(hide(&names, &around.replace("{}", ADA)), expected);
        }
        let escaped = ADA.replace(':', "%3A");
        assert_eq!(
            hide(&names, &format!("/{escaped}?did={}", escaped.to_lowercase())),
            format!("/{ada}?did={ada}")
        );
        for nobody in
            ["", "did", "did:", "did:plc", "did:plc:", "did:PLC:a", "candid: yes: no", "did::a", "did: a: b"]
        {
            assert_eq!(hide(&names, nobody), nobody);
        }
    }

    #[test]
    fn one_person_has_one_name_and_after_a_start_another() {
        let [names, others] = [(); 2].map(|()| Pseudonyms::random().unwrap());
        assert_eq!(hide(&names, ADA), hide(&names.clone(), ADA));
        assert_ne!(hide(&names, ADA), hide(&names, "did:web:ada.example"));
        assert_ne!(hide(&names, ADA), hide(&others, ADA));
    }
}
