//! The socket's file: made for its owner alone, taken over from a dead daemon, never from a living one.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
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
        // Otherwise whoever listened is dead, and so is the file.
        if UnixStream::connect(&path).is_ok() {
            return Err(SocketError::Taken(path));
        }
        match make(&path) {
            Ok(listener) => Ok((Self { path }, listener)),
            Err(error) => Err(SocketError::Io { path, error }),
        }
    }
}

/// Makes it in a folder that nobody else may enter, and moves it into its place when it is its owner's alone: at no moment
/// may anyone else open it.
fn make(path: &Path) -> io::Result<UnixListener> {
    // Not longer than the path itself, which may be as long as paths of sockets may be.
    let folder = path.with_extension("d");
    match std::fs::remove_dir_all(&folder) {
        // One that was killed in here left it.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    DirBuilder::new().mode(0o700).create(&folder)?;
    let made = folder.join("s");
    let listener = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        std::fs::rename(&made, path)?;
        Ok(listener)
    });
    // One that stays is removed by the next daemon.
    let _ = std::fs::remove_dir_all(&folder);
    listener
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
        // What one that was killed in the midst of it left.
        std::fs::create_dir(folder.path().join("admin.d")).unwrap();
        std::fs::write(folder.path().join("admin.d/s"), "").unwrap();
        let (socket, listener) = Socket::bind(&path).unwrap();
        assert!(!folder.path().join("admin.d").exists());
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
