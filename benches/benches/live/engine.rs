//! The engine as a process of its own, so that what the system counts of that process is the engine's alone; and the
//! other end of it: started, looked at, and stopped by whoever measures.

use std::io::{BufRead as _, BufReader, Read as _, Write as _, stdin};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use appview_core::index::Index;
use appview_core::record::{Catalog, Collection};
use appview_core::source::follow::{Answers, Following, Pulse, Source, follow};
use appview_core::source::network::Network;
use appview_core::source::turns::{Manners, Politeness};
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::Scope;

/// Follows the host at `url` into an index in `folder`, from the first byte on the standard input to its end.
pub(crate) fn run(folder: &Path, url: &str) {
    let index = Index::open(folder.join("index.db")).unwrap();
    let writer = index.writer(Catalog::builtin().unwrap()).unwrap();
    let outside = Outside::internet(Reach::Anywhere).unwrap();
    // It answers as often as it is asked, as a host of one's own does; not more at once than others.
    let often = |manners| Manners { in_five_minutes: 10_000_000, ..manners };
    let Politeness { host, directory } = Politeness::default();
    let politeness = Politeness { host: often(host), directory: often(directory) };
    let network = Network::politely(&outside, url, folder.to_owned(), Scope::default(), politeness);
    let collections = Collection::ALL.iter().map(|collection| collection.nsid().parse().unwrap()).collect();
    let sources = vec![Source::Relay(url.parse().unwrap())];
    let following = Following::new(sources, Answers::Network { network, collections }, outside);
    println!("ready");
    let mut first = [0];
    stdin().read_exact(&mut first).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new());
        let _ = stop.send(());
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let stopped = async { stopped.await.unwrap() };
    runtime.block_on(follow(writer, following, Pulse::default(), stopped)).unwrap();
}

/// This program again, as another process, with lines in and out.
pub(crate) struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    /// Starts it, and waits for the first line that it says.
    pub(crate) fn start(mode: &str, arguments: [&Path; 2]) -> (Self, String) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(mode).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self { child, lines };
        let first = process.line();
        (process, first)
    }

    /// Says a line to it.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("the process ended early").unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running engine.
pub(crate) struct Engine {
    process: Process,
    index: PathBuf,
}

/// What the system has counted of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Time on cores, of all threads.
    pub(crate) cpu: Duration,
    /// Bytes resident in memory, and the most that ever were.
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

impl Engine {
    /// Starts the process; it has opened the index, but follows nothing until [`Engine::go`].
    pub(crate) fn start(folder: &Path, url: &str) -> Self {
        let (process, _) = Process::start("engine", [folder, Path::new(url)]);
        Self { process, index: folder.join("index.db") }
    }

    pub(crate) fn go(&mut self) {
        self.process.tell("");
    }

    /// Where its index is.
    pub(crate) fn index(&self) -> Index {
        Index::open_existing(&self.index).unwrap()
    }

    /// What the system has counted so far; nothing where there is no `/proc`.
    pub(crate) fn usage(&self) -> Usage {
        let read = |name| std::fs::read_to_string(format!("/proc/{}/{name}", self.process.child.id()));
        let (Ok(status), Ok(stat)) = (read("status"), read("stat")) else { return Usage::default() };
        let kilobytes = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        // What follows the program's name in brackets: its state, and ten more before the times in user and system mode,
        // in hundredths of a second.
        let times = stat.rsplit(')').next().unwrap_or_default().split(' ').skip(12).take(2);
        let ticks: u64 = times.filter_map(|time| time.parse::<u64>().ok()).sum();
        Usage {
            cpu: Duration::from_millis(ticks * 10),
            resident: kilobytes("VmRSS:") * 1024,
            peak: kilobytes("VmHWM:") * 1024,
        }
    }

    /// Stops it as an operator would, and waits until it has written everything.
    pub(crate) fn stop(mut self) {
        drop(self.process.child.stdin.take());
        assert!(self.process.child.wait().unwrap().success(), "the engine failed");
    }
}
