//! The keys that seal what is at rest, and where they come from: never from the database, nor from a place of our making.
//!
//! A systemd credential, a file or a variable enters; a [`Keyring`] leaves, or nothing where no key is given. One key a line, 32
//! bytes in hexadecimal or base64; the first seals, all of them open. Deliberately absent: making a key, so that none can lie
//! beside what it opens without somebody having put it there.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::seal::KeyId;
use crate::secret::Secret;

/// What systemd calls the key (`LoadCredential=`).
pub const CREDENTIAL: &str = "appviewd-session-key";
/// The variable that holds the key itself.
pub const VARIABLE: &str = "APPVIEWD_SESSION_KEY";

/// Longest text of keys, in bytes: hundreds of them.
const LONGEST: u64 = 64 * 1024;

/// Why there is no keyring. Never tells any of the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Two places have keys, of which one would be ignored in silence.
    #[error("session keys are given by {first} and by {second}; keep one of them")]
    Twice {
        /// One.
        first: KeyPlace,
        /// The other.
        second: KeyPlace,
    },
    /// The file cannot be read.
    #[error("the session key in {place} cannot be read: {error}")]
    Io {
        /// Where it was looked for.
        place: KeyPlace,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Others can read the file.
    #[error(
        "the session key in {place} can be read by others (its mode is {mode:03o}); make it yours alone: chmod 600"
    )]
    Exposed {
        /// Where.
        place: KeyPlace,
        /// The permissions.
        mode: u32,
    },
    /// The file is somebody else's.
    #[error(
        "the session key in {place} belongs to user {owner}; it must belong to the user who runs appviewd, or to root"
    )]
    Owner {
        /// Where.
        place: KeyPlace,
        /// Whose.
        owner: u32,
    },
    /// A line holds no key.
    #[error(
        "{place}, line {line}: {problem}; a line is 32 random bytes in hexadecimal or base64, as `openssl rand -hex 32` prints them"
    )]
    Line {
        /// Where.
        place: KeyPlace,
        /// Which line, counted from 1.
        line: usize,
        /// The rule that it breaks.
        problem: KeyProblem,
    },
    /// There is not one key.
    #[error("{0} holds no session key; put the output of `openssl rand -hex 32` there")]
    Empty(KeyPlace),
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// Neither encoding, or another length.
    #[error("expected 32 bytes")]
    Length,
    /// All bytes are the same.
    #[error("expected random bytes, found the same one 32 times")]
    Constant,
    /// An earlier line has it.
    #[error("expected another key than on an earlier line")]
    Twice,
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// A credential that systemd hands over.
    Credential(PathBuf),
    /// A file that an operator named.
    File(PathBuf),
    /// The environment, which whoever may look at the process can read.
    Variable,
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(path) => write!(f, "the credential {}", path.display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable => f.write_str(VARIABLE),
        }
    }
}

/// Where an operator may have put keys.
#[derive(Debug, Clone, Default)]
pub struct KeyPlaces {
    /// The folder of systemd's credentials.
    pub credentials: Option<PathBuf>,
    /// The file that was named.
    pub file: Option<PathBuf>,
    /// What [`VARIABLE`] holds.
    pub variable: Option<Secret<String>>,
}

impl KeyPlaces {
    /// What the environment tells, with the file that was named.
    #[must_use]
    pub fn of_environment(file: Option<PathBuf>) -> Self {
        Self {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            file,
            variable: std::env::var(VARIABLE).ok().map(Secret::new),
        }
    }

    /// Reads the keys; none if no place has any.
    ///
    /// # Errors
    ///
    /// [`KeyringError`].
    pub fn keyring(&self) -> Result<Option<Keyring>, KeyringError> {
        let credential = self.credentials.as_ref().map(|folder| folder.join(CREDENTIAL));
        let credential = credential.filter(|path| path.exists()).map(KeyPlace::Credential);
        let file = self.file.clone().map(KeyPlace::File);
        let variable = self.variable.as_ref().filter(|text| !text.expose().is_empty());
        let mut found = credential.into_iter().chain(file).chain(variable.map(|_| KeyPlace::Variable));
        let Some(place) = found.next() else { return Ok(None) };
        if let Some(second) = found.next() {
            return Err(KeyringError::Twice { first: place, second });
        }
        let text = match (&place, variable) {
            (KeyPlace::Credential(path) | KeyPlace::File(path), _) => Zeroizing::new(read(&place, path)?),
            (KeyPlace::Variable, text) => {
                Zeroizing::new(text.map(|text| text.expose().clone()).unwrap_or_default())
            }
        };
        Keyring::parse(&text, place).map(Some)
    }
}

fn read(place: &KeyPlace, path: &Path) -> Result<String, KeyringError> {
    let io = |error| KeyringError::Io { place: place.clone(), error };
    let file = std::fs::File::open(path).map_err(io)?;
    // Of what is open, so that it cannot be exchanged in between.
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyringError::Exposed { place: place.clone(), mode });
    }
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(KeyringError::Owner { place: place.clone(), owner });
    }
    let mut text = String::with_capacity(usize::try_from(metadata.len().min(LONGEST)).unwrap_or(0));
    file.take(LONGEST).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// Keys, at least one; cheap to clone compared with what it is used for.
#[derive(Clone)]
pub struct Keyring {
    first: (KeyId, Secret<[u8; 32]>),
    former: Vec<(KeyId, Secret<[u8; 32]>)>,
}

impl Keyring {
    /// Reads a text of keys.
    ///
    /// # Errors
    ///
    /// [`KeyringError`], which names the place.
    pub fn parse(text: &str, place: KeyPlace) -> Result<Self, KeyringError> {
        let mut keys = Vec::new();
        let mut ids = BTreeSet::new();
        for (at, line) in text.lines().enumerate() {
            let line_number = at.saturating_add(1);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |problem| KeyringError::Line { place: place.clone(), line: line_number, problem };
            let key = line.parse::<Key>().map_err(refuse)?.0;
            let id = KeyId::of(&key);
            if !ids.insert(id) {
                return Err(refuse(KeyProblem::Twice));
            }
            keys.push((id, key));
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(KeyringError::Empty(place))?;
        Ok(Self { first, former: keys.collect() })
    }

    /// The name of the key that seals.
    #[must_use]
    pub const fn first(&self) -> KeyId {
        self.first.0
    }

    /// Whether it opens what was sealed with this key.
    #[must_use]
    pub fn has(&self, id: KeyId) -> bool {
        self.key(id).is_some()
    }

    pub(super) const fn primary(&self) -> (KeyId, &Secret<[u8; 32]>) {
        (self.first.0, &self.first.1)
    }

    pub(super) fn key(&self, wanted: KeyId) -> Option<&Secret<[u8; 32]>> {
        std::iter::once(&self.first).chain(&self.former).find(|(id, _)| *id == wanted).map(|(_, key)| key)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entry(&self.first.0).entries(self.former.iter().map(|(id, _)| id)).finish()
    }
}

struct Key(Secret<[u8; 32]>);

impl FromStr for Key {
    type Err = KeyProblem;

    fn from_str(text: &str) -> Result<Self, KeyProblem> {
        let bytes = decode(text).ok_or(KeyProblem::Length)?;
        let key: Secret<[u8; 32]> = Secret::new(bytes.as_slice().try_into().map_err(|_| KeyProblem::Length)?);
        let first = key.expose().first();
        if key.expose().iter().all(|byte| Some(byte) == first) {
            return Err(KeyProblem::Constant);
        }
        Ok(Self(key))
    }
}

/// 64 hexadecimal digits, or base64 in either alphabet, padded or not.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let digits = text.as_bytes().chunks_exact(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        return digits.map(byte).collect::<Option<Vec<u8>>>().map(Zeroizing::new);
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
        .map(Zeroizing::new)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn parse(text: &str) -> Result<Keyring, String> {
        Keyring::parse(text, KeyPlace::Variable).map_err(|error| error.to_string())
    }

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_32_bytes_in_hexadecimal_or_base64() {
        let id = parse(HEX).unwrap().first();
        for text in [BASE64, BASE64.trim_end_matches('='), &format!("# the key\n\n  {HEX} \n")] {
            assert_eq!(parse(text).unwrap().first(), id, "{text}");
        }
        let both = parse(&format!("{OTHER}\n{HEX}\n")).unwrap();
        assert_eq!(both.first(), parse(OTHER).unwrap().first());
        assert!(both.has(id));
        assert!(!format!("{both:?}").contains("0102"));
    }

    #[test]
    fn what_is_no_key_is_named_by_its_line_and_not_told() {
        let cases = [
            ("secret", "line 1: expected 32 bytes"),
            (&format!("{HEX}\nsecret0"), "line 2: expected 32 bytes"),
            (&format!("{HEX}00"), "line 1: expected 32 bytes"),
            (&"00".repeat(32), "line 1: expected random bytes"),
            (&format!("{HEX}\n{BASE64}"), "line 2: expected another key"),
        ];
        for (text, expected) in cases {
            let told = parse(text).unwrap_err();
            assert!(told.contains(expected) && told.contains("openssl rand -hex 32"), "{told}");
            assert!(!told.contains("secret") && !told.contains("0102"), "{told}");
        }
        assert!(parse("# nothing\n").unwrap_err().contains("holds no session key"));
    }

    #[test]
    fn a_key_that_others_can_read_or_that_two_places_have_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, credential) = (folder.path().join("key"), folder.path().join(CREDENTIAL));
        let places = KeyPlaces { file: Some(file.clone()), ..KeyPlaces::default() };
        assert!(matches!(places.keyring(), Err(KeyringError::Io { .. })));
        for mode in [0o640, 0o604, 0o660] {
            write(&file, HEX, mode);
            assert!(
                matches!(places.keyring(), Err(KeyringError::Exposed { mode: found, .. }) if found == mode)
            );
        }
        write(&file, HEX, 0o400);
        assert_eq!(places.keyring().unwrap().unwrap().first(), parse(HEX).unwrap().first());
        write(&credential, OTHER, 0o400);
        let credentials = Some(folder.path().to_owned());
        let places = KeyPlaces { credentials: credentials.clone(), ..places };
        assert!(matches!(places.keyring(), Err(KeyringError::Twice { .. })));
        let places = KeyPlaces { credentials, ..KeyPlaces::default() };
        assert_eq!(places.keyring().unwrap().unwrap().first(), parse(OTHER).unwrap().first());
        assert!(KeyPlaces::default().keyring().unwrap().is_none());
        let variable = Some(Secret::new(HEX.to_owned()));
        assert!(KeyPlaces { variable, ..KeyPlaces::default() }.keyring().unwrap().is_some());
    }
}
