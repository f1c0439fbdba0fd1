//! The secret that the console beside us shares with us.
//!
//! A file or a variable enters; whether a request has the secret leaves. One that could be guessed is refused at the start.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::secret::Secret;

/// The header that bears it.
pub const HEADER: &str = "x-cocore-internal-secret";
/// The variable that holds it, if no file does.
pub const VARIABLE: &str = "APPVIEWD_INTERNAL_SECRET";

/// Shortest secret, in bytes.
const SHORTEST: usize = 32;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InternalSecretError {
    /// It could be guessed.
    #[error(
        "the internal secret has {found} characters, and must have at least {SHORTEST}: `openssl rand -hex 32` prints one"
    )]
    Short {
        /// How long it is.
        found: usize,
    },
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Others can read the file.
    #[error("{}: others can read it (its mode is {mode:03o}); make it yours alone: chmod 600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// The permissions.
        mode: u32,
    },
}

/// The secret; cheap to clone compared with a request.
#[derive(Clone)]
pub struct InternalSecret(Secret<String>);

impl InternalSecret {
    /// Takes a text as the secret, without the space around it.
    ///
    /// # Errors
    ///
    /// [`InternalSecretError::Short`].
    pub fn new(text: &str) -> Result<Self, InternalSecretError> {
        match text.trim() {
            text if text.len() < SHORTEST => Err(InternalSecretError::Short { found: text.len() }),
            text => Ok(Self(Secret::new(text.to_owned()))),
        }
    }

    /// Reads the file that was named, or else the variable; none if there is neither.
    ///
    /// # Errors
    ///
    /// [`InternalSecretError`].
    pub fn find(
        file: Option<PathBuf>,
        variable: Option<&Secret<String>>,
    ) -> Result<Option<Self>, InternalSecretError> {
        let Some(path) = file else {
            return variable.map(|text| Self::new(text.expose())).transpose();
        };
        let read = || -> std::io::Result<(u32, Secret<String>)> {
            let file = std::fs::File::open(&path)?;
            Ok((file.metadata()?.mode() & 0o777, Secret::new(std::io::read_to_string(file)?)))
        };
        match read() {
            Err(error) => Err(InternalSecretError::Io { path, error }),
            Ok((mode, _)) if mode & 0o077 != 0 => Err(InternalSecretError::Exposed { path, mode }),
            Ok((_, text)) => Self::new(text.expose()).map(Some),
        }
    }

    /// Whether this is the secret, in a time that tells its length at most.
    #[must_use]
    pub fn is(&self, claimed: &[u8]) -> bool {
        self.0.is(claimed)
    }
}

impl fmt::Debug for InternalSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_could_be_guessed_is_none() {
        assert!(matches!(
            InternalSecret::new(&"a".repeat(31)),
            Err(InternalSecretError::Short { found: 31 })
        ));
        assert!(matches!(InternalSecret::new(&" ".repeat(64)), Err(InternalSecretError::Short { found: 0 })));
        let text = "0123456789abcdef0123456789abcdef";
        let secret = InternalSecret::new(&format!("{text}\n")).unwrap();
        assert!(secret.is(text.as_bytes()));
        for wrong in ["", "0", "0123456789abcdef0123456789abcdeF", &format!("{text}0")] {
            assert!(!secret.is(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_keeps_no_secret() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "0123456789abcdef0123456789abcdef").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        let find = || InternalSecret::find(Some(path.clone()), None);
        assert!(matches!(find(), Err(InternalSecretError::Exposed { mode: 0o640, .. })));
        mode(0o600);
        assert!(find().unwrap().is_some());
        assert!(InternalSecret::find(None, None).unwrap().is_none());
    }
}
