//! The process: settle what is asked, run it, exit code.

use std::process::ExitCode;

use appviewd::config::{Settled, Unsettled, settle};

/// What was typed or set makes no sense.
const NO_SENSE: u8 = 2;

/// The system's allocator keeps an arena for each thread, and what they all hold when answers have been made; this one gives
/// it back.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settled = match settle(std::env::args_os()) {
        Ok(settled) => settled,
        Err(Unsettled::Typed(error)) => error.exit(),
        Err(Unsettled::Mistakes(mistakes)) => {
            for mistake in mistakes {
                eprintln!("appviewd: {mistake}");
            }
            eprintln!("`appviewd config show --toml` writes a file with every setting and what it means");
            return ExitCode::from(NO_SENSE);
        }
    };
    match run(settled) {
        Ok(code) => code,
        // Whoever read our results has seen enough of them, as `head` does.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("appviewd: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(settled: Settled) -> anyhow::Result<ExitCode> {
    appviewd::telemetry::start(&settled.cli)?;
    for note in &settled.notes {
        tracing::warn!("{note}");
    }
    appviewd::run(settled)
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
