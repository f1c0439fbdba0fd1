//! The other end of the socket: one request for each command.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
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

    /// Orders something that takes its time, and is told how it goes, a line each.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn post_and_listen(
        &self,
        path: &str,
    ) -> Result<impl Iterator<Item = Result<String, AdminError>> + use<>, AdminError> {
        let answer = self.open("POST", path)?;
        let this = self.clone();
        answer.get_ref().set_read_timeout(None).map_err(|error| self.failed(error))?;
        Ok(answer.lines().map(move |line| line.map_err(|error| this.failed(error))))
    }

    fn request(&self, verb: &str, path: &str) -> Result<String, AdminError> {
        let mut body = String::new();
        self.open(verb, path)?.read_to_string(&mut body).map_err(|error| self.failed(error))?;
        Ok(body)
    }

    /// Sends a request without a body, and reads the head of its answer. By HTTP/1.0, whose answers end where the connection
    /// does and are not cut into chunks.
    fn open(&self, verb: &str, path: &str) -> Result<BufReader<UnixStream>, AdminError> {
        let mut socket = UnixStream::connect(&self.socket).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                AdminError::Nobody(self.folder.clone())
            }
            _ => self.failed(error),
        })?;
        let path = path.replace('%', "%25");
        let sent = socket.set_read_timeout(Some(PATIENCE)).and_then(|()| {
            write!(socket, "{verb} {path} HTTP/1.0\r\nHost: appviewd\r\nContent-Length: 0\r\n\r\n")
        });
        sent.map_err(|error| self.failed(error))?;
        let mut answer = BufReader::new(socket);
        let status = self.line(&mut answer)?;
        while !self.line(&mut answer)?.is_empty() {}
        match status.split(' ').nth(1) {
            Some("200" | "204") => Ok(answer),
            _ => {
                let told: Json = serde_json::from_reader(answer).map_err(|_| AdminError::Answer)?;
                let message = told.get("message").and_then(Json::as_str).ok_or(AdminError::Answer)?;
                Err(AdminError::Refused(message.to_owned()))
            }
        }
    }

    fn line(&self, answer: &mut BufReader<UnixStream>) -> Result<String, AdminError> {
        let mut line = String::new();
        match answer.read_line(&mut line).map_err(|error| self.failed(error))? {
            0 => Err(AdminError::Answer),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn failed(&self, error: io::Error) -> AdminError {
        AdminError::Io { path: self.socket.clone(), error }
    }
}
