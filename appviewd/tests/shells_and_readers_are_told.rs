//! Completions and manual pages are made from the command line's definition, and say what it says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;
use std::process::Command;

use appviewd::config::Cli;
use clap::CommandFactory as _;

use support::Scenario;

/// Every command, as it is called, but for `help`.
fn commands(command: &clap::Command, path: &str) -> Vec<String> {
    let mut found = vec![path.to_owned()];
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        found.extend(commands(below, &format!("{path}-{}", below.get_name())));
    }
    found
}

#[test]
fn completions_know_every_command_and_setting() {
    let scenario = Scenario::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = scenario.succeed(&["completions", shell]);
        for word in ["serve", "untrack", "metrics-listen", "completions", "config"] {
            assert!(told.contains(word), "{shell}: {word}");
        }
    }
    assert!(scenario.fail(2, &["completions", "csh"]).contains("bash"));
}

#[test]
fn a_shell_completes_by_them() {
    let scenario = Scenario::empty();
    fs::write(scenario.path("completions"), scenario.succeed(&["completions", "bash"])).unwrap();
    let script = "source completions; COMP_WORDS=(appviewd serve --audit); COMP_CWORD=2; \
                  _appviewd appviewd --audit serve; printf '%s' \"${COMPREPLY[*]}\"";
    let Ok(output) = Command::new("bash").args(["-c", script]).current_dir(scenario.path("")).output() else {
        eprintln!("skipped: there is no bash");
        assert!(std::env::var_os("CI").is_none());
        return;
    };
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "--audit-within");
}

#[test]
fn every_command_has_a_manual_page() {
    let scenario = Scenario::empty();
    let told = scenario.succeed(&["man", "pages/man1"]);
    let expected = commands(&Cli::command(), "appviewd");
    assert!(told.starts_with(&format!("{} pages in pages/man1", expected.len())), "{told}");
    let mut written: Vec<String> = fs::read_dir(scenario.path("pages/man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected: Vec<String> = expected.into_iter().map(|name| format!("{name}.1")).collect();
    written.sort();
    expected.sort();
    assert_eq!(written, expected);
    let serve = fs::read_to_string(scenario.path("pages/man1/appviewd-serve.1")).unwrap();
    for part in [
        ".TH appviewd-serve 1",
        "Follow a relay and answer queries",
        "\\-\\-ready\\-lag",
        "APPVIEWD_READY_LAG",
    ] {
        assert!(serve.contains(part), "{part}: {serve}");
    }
    assert_eq!(
        scenario.succeed(&["man"]),
        fs::read_to_string(scenario.path("pages/man1/appviewd.1")).unwrap()
    );
}
