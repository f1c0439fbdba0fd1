//! The other end of the socket: one request for each command.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;

/// How long an answer may take. An order waits for its turn behind what was received before it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Nobody listens.
    #[error("no appviewd serves from {}; start it with `appviewd serve`, or name its folder with --data-dir", .0.display())]
    Nobody(PathBuf),
    /// Somebody listens, but not to us.
    #[error("{}: {error}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// What was asked was refused.
    #[error("{0}")]
    Refused(String),
    /// The answer makes no sense.
    #[error("the daemon's answer cannot be read; it may be of another version than this command")]
    Answer,
}

/// A daemon that serves from a folder.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    folder: PathBuf,
}

impl Client {
    /// Of the daemon that listens on this socket in its data folder.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        let folder = socket.parent().unwrap_or(socket).to_owned();
        Self { socket: socket.to_owned(), folder }
    }

    /// Asks for something.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        serde_json::from_str(&self.request("GET", path)?).map_err(|_| AdminError::Answer)
    }

    /// Orders something.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn post(&self, path: &str) -> Result<(), AdminError> {
        self.request("POST", path).map(|_| ())
    }

    fn request(&self, verb: &str, path: &str) -> Result<String, AdminError> {
        let mut socket = UnixStream::connect(&self.socket).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                AdminError::Nobody(self.folder.clone())
            }
            _ => self.failed(error),
        })?;
        let answer = exchange(&mut socket, verb, path).map_err(|error| self.failed(error))?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(AdminError::Answer)?;
        match head.split(' ').nth(1) {
            Some("200" | "204") => Ok(body.to_owned()),
            _ => {
                let told: Json = serde_json::from_str(body).map_err(|_| AdminError::Answer)?;
                Err(AdminError::Refused(told["message"].as_str().ok_or(AdminError::Answer)?.to_owned()))
            }
        }
    }

    fn failed(&self, error: io::Error) -> AdminError {
        AdminError::Io { path: self.socket.clone(), error }
    }
}

/// One request of HTTP/1.1 without a body. The daemon gives the length of its answers, and closes after one.
fn exchange(socket: &mut UnixStream, verb: &str, path: &str) -> io::Result<String> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let path = path.replace('%', "%25");
    write!(
        socket,
        "{verb} {path} HTTP/1.1\r\nHost: appviewd\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}
