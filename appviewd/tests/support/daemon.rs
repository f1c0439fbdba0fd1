//! `appviewd serve` as a process.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;

use super::Scenario;

/// How long anything that it logs may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Killed when it is dropped: the kernel ends it without notice. A test that fails meanwhile is told what it logged.
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
    /// Where numbers are told.
    pub metrics: SocketAddr,
    log: Log,
}

impl Daemon {
    /// Starts it with these further arguments, on a free port.
    pub fn serve(scenario: &Scenario, arguments: &[&str]) -> Self {
        Self::serve_with(scenario, &[], arguments)
    }

    /// The same with variables in its environment.
    pub fn serve_with(scenario: &Scenario, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let arguments_of_all =
            ["--log", "json", "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let mut command = scenario.command(&arguments_of_all);
        command.args(arguments).envs(variables.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let address = |message| log.hear(message)["address"].as_str().unwrap().parse().unwrap();
        let (metrics, address) = (address("telling numbers"), address("answering"));
        Self { child, address, metrics, log }
    }

    /// Asks it to stop, as a service's supervisor does.
    pub fn terminate(&self) {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
    }

    /// Waits until it has ended, and gives its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Everything that it wrote to standard error so far.
    pub fn told(&self) -> String {
        self.log.all.lock().unwrap().clone()
    }

    /// Waits for the next line of its log with this message, and gives its fields.
    pub fn hear(&self, message: &str) -> Json {
        self.log.hear(message)
    }
}

/// What it logs, read as it comes: it must not fill the pipe.
struct Log {
    all: Arc<Mutex<String>>,
    lines: Receiver<String>,
}

impl Log {
    fn of(stderr: ChildStderr) -> Self {
        let (line, lines) = channel();
        let all = Arc::new(Mutex::new(String::new()));
        let read = Arc::clone(&all);
        std::thread::spawn(move || {
            for told in BufReader::new(stderr).lines().map(Result::unwrap) {
                *read.lock().unwrap() += &format!("{told}\n");
                // Nobody may want to hear more.
                let _ = line.send(told);
            }
        });
        Self { all, lines }
    }

    fn hear(&self, message: &str) -> Json {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("expected {message:?}, and heard:\n{}", self.all.lock().unwrap());
            };
            let mut line: Json = serde_json::from_str(&line).unwrap_or_default();
            if line["fields"]["message"] == message {
                return line["fields"].take();
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the daemon logged:\n{}", self.log.all.lock().unwrap());
        }
    }
}
