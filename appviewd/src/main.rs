//! The process: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;

/// The system's allocator keeps an arena for each thread, and what they all hold when answers have been made; this one gives
/// it back.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = appviewd::config::Cli::parse();
    appviewd::telemetry::start(&cli);
    match appviewd::run(cli) {
        Ok(code) => code,
        // Whoever read our results has seen enough of them, as `head` does.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("appviewd: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Whether standard output was closed: its errors alone come here bare, those of a network are wrapped.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// An error and its causes in one line. Some errors tell their cause themselves: it is told once.
fn explain(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| match cause.to_string() {
        cause if told.ends_with(&cause) => told,
        cause if told.is_empty() => cause,
        cause => format!("{told}: {cause}"),
    })
}
