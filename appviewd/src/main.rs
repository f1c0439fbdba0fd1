//! The process: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = appviewd::config::Cli::parse();
    appviewd::telemetry::start(cli.log);
    match appviewd::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("appviewd: {error:#}");
            ExitCode::FAILURE
        }
    }
}
