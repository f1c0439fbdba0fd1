//! `appviewd serve` as a process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;

use super::Scenario;

/// Killed when it is dropped: the kernel ends it without notice. A test that fails meanwhile is told what it logged.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    logged: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it with these further arguments, on a free port.
    pub fn serve(scenario: &Scenario, arguments: &[&str]) -> Self {
        let common = ["--log", "json", "serve", "--listen", "127.0.0.1:0"];
        let mut child = scenario.command(&common).args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let logged = Arc::new(Mutex::new(String::new()));
        let log = Arc::clone(&logged);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut lines = std::iter::from_fn(move || {
            let line = lines.next()?;
            *log.lock().unwrap() += &format!("{line}\n");
            Some(line)
        });
        let address = lines
            .by_ref()
            .map(|line| serde_json::from_str::<Json>(&line).expect("it starts"))
            .find(|line| line["fields"]["message"] == "answering")
            .map(|line| line["fields"]["address"].as_str().unwrap().parse().unwrap());
        // Whatever else it logs must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.expect("it says where it answers"), logged }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the daemon logged:\n{}", self.logged.lock().unwrap());
        }
    }
}
