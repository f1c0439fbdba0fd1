//! The socket's file: made for its owner alone, taken over from a dead daemon, never from a living one.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another daemon answers on it.
    #[error("another appviewd serves from this folder: it answers on {}; stop it, or choose another --data-dir", .0.display())]
    Taken(PathBuf),
    /// It cannot be made.
    #[error("cannot make {}: {error}; paths of sockets may have some 100 bytes: a shorter --data-dir may help", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// A socket's file, which is removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
}

impl Socket {
    /// Makes the file and listens on it.
    ///
    /// # Errors
    ///
    /// [`SocketError`].
    pub fn bind(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        let path = path.to_owned();
        match UnixStream::connect(&path) {
            Ok(_) => return Err(SocketError::Taken(path)),
            // Whoever listened is dead.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                // If it cannot be removed, it cannot be made anew either, and that is told.
                let _ = std::fs::remove_file(&path);
            }
            Err(_) => {}
        }
        let made = UnixListener::bind(&path).and_then(|listener| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        });
        match made {
            Ok(listener) => Ok((Self { path }, listener)),
            Err(error) => Err(SocketError::Io { path, error }),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // One that stays is taken over by the next daemon.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_and_taken_over_from_the_dead_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (socket, listener) = Socket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Socket::bind(&path), Err(SocketError::Taken(_))));
        // As if killed: nobody listens, the file stays.
        std::mem::forget(socket);
        drop(listener);
        let (socket, _listener) = Socket::bind(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }
}
