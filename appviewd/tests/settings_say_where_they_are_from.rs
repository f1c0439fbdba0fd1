//! A setting is an option, a variable and a line of a file: one precedence, and each value says where it is from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;

use appviewd::config::{Cli, Setting};
use clap::CommandFactory as _;
use fixtures::recording;
use serde_json::{Value as Json, json};

use support::daemon::Daemon;
use support::http::get;
use support::relay::Relay;
use support::{REPLAY, Scenario};

/// A folder with a file of settings.
fn with_file(text: &str) -> Scenario {
    let scenario = Scenario::new();
    fs::write(scenario.path("appviewd.toml"), text).unwrap();
    scenario
}

/// What is told of each setting: its value, and where that is from.
fn shown(scenario: &Scenario, variables: &[(&str, &str)], line: &[&str]) -> BTreeMap<String, (Json, Json)> {
    let arguments = [&["config", "show", "--json"], line].concat();
    let output = scenario.command(&arguments).envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Vec<Json> = serde_json::from_slice(&output.stdout).unwrap();
    let told = told.into_iter().map(|mut told| {
        let key = told["setting"].as_str().unwrap().to_owned();
        (key, (told["value"].take(), told["from"].take()))
    });
    told.collect()
}

/// What is written to standard error by a command that must end with this code.
fn told(scenario: &Scenario, code: i32, variables: &[(&str, &str)], line: &[&str]) -> String {
    let output = scenario.command(line).envs(variables.iter().copied()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

#[test]
fn an_option_holds_before_the_environment_that_before_a_file_and_that_before_the_default() {
    let scenario = with_file("ready-lag = 5\n");
    let lag =
        |variables: &[(&str, &str)], line: &[&str]| shown(&scenario, variables, line)["ready-lag"].clone();
    let variable = ("APPVIEWD_READY_LAG", "6");
    assert_eq!(lag(&[], &[]), (json!("60"), json!("default")));
    assert_eq!(
        lag(&[], &["--config", "appviewd.toml"]),
        (json!("5"), json!({"file": "appviewd.toml", "line": 1}))
    );
    assert_eq!(
        lag(&[variable], &["--config", "appviewd.toml"]),
        (json!("6"), json!({"variable": "APPVIEWD_READY_LAG"}))
    );
    assert_eq!(
        lag(&[variable], &["--config", "appviewd.toml", "serve", "--ready-lag", "7"]),
        (json!("7"), json!({"option": "--ready-lag"}))
    );
    assert_eq!(
        lag(&[("APPVIEWD_CONFIG", "appviewd.toml")], &["--ready-lag=7"]),
        (json!("7"), json!({"option": "--ready-lag"})),
        "the file is named by a variable as well"
    );
}

#[test]
fn a_list_is_replaced_as_a_whole_and_a_switch_can_be_turned_off() {
    let scenario = with_file(
        "relay = ['wss://a.example', 'wss://b.example']\nallow-private-hosts = true\nspare = '10.0.0.0/8'\n",
    );
    let config = ["--config", "appviewd.toml"];
    let settings = shown(&scenario, &[], &config);
    assert_eq!(settings["relay"].0, json!(["wss://a.example", "wss://b.example"]));
    assert_eq!(settings["spare"].0, json!(["10.0.0.0/8"]));
    assert_eq!(settings["allow-private-hosts"].0, json!("true"));
    let variables =
        [("APPVIEWD_ALLOW_PRIVATE_HOSTS", "false"), ("APPVIEWD_RELAY", "wss://c.example,wss://d.example")];
    let settings = shown(&scenario, &variables, &config);
    assert_eq!(settings["allow-private-hosts"].0, json!("false"));
    assert_eq!(settings["relay"].0, json!(["wss://c.example", "wss://d.example"]));
    let settings =
        shown(&scenario, &variables, &["--config", "appviewd.toml", "serve", "--relay", "wss://e.example"]);
    assert_eq!(settings["relay"].0, json!(["wss://e.example"]));
}

#[test]
fn everything_that_serve_takes_can_be_set_in_a_file() {
    let scenario = Scenario::empty();
    let template = scenario.succeed(&["config", "show", "--toml"]);
    let mut program = Cli::command();
    program.build();
    let settings = Setting::all(&program);
    for setting in &settings {
        assert!(template.contains(&format!("{} = ", setting.key)), "{}: {template}", setting.key);
    }
    // As it stands it says nothing; with every mark taken away it says what holds anyway.
    fs::write(scenario.path("appviewd.toml"), &template).unwrap();
    let before = shown(&scenario, &[], &[]);
    assert_eq!(shown(&scenario, &[], &["--config", "appviewd.toml"]), before);
    let is_value = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ");
    let mut count = 0;
    let said: String = template
        .lines()
        .map(|line| match is_value(line) {
            true => {
                count += 1;
                format!("{}\n", &line[1..])
            }
            false => format!("{line}\n"),
        })
        .collect();
    fs::write(scenario.path("appviewd.toml"), &said).unwrap();
    let after = shown(&scenario, &[], &["--config", "appviewd.toml"]);
    let from_file = after.values().filter(|(_, from)| from.get("file").is_some()).count();
    assert_eq!(from_file, count, "{said}");
    assert_eq!(count, settings.iter().filter(|setting| !setting.default().is_empty()).count());
    let values = |settings: BTreeMap<String, (Json, Json)>| -> Vec<(String, Json)> {
        settings.into_iter().map(|(key, (value, _))| (key, value)).collect()
    };
    assert_eq!(values(after), values(before));
}

#[test]
fn what_was_set_is_written_as_a_file_that_says_the_same() {
    let scenario = with_file("ready-lag = 5\nrelay = ['wss://a.example']\nallow-private-hosts = true\n");
    let variables = [("APPVIEWD_SERVICE_DID", "did:web:a.example")];
    let line = [
        "config",
        "show",
        "--toml",
        "--config",
        "appviewd.toml",
        "serve",
        "--data-dir",
        "a \"quoted\" \\ folder",
    ];
    let output = scenario.command(&line).envs(variables).output().unwrap();
    fs::write(scenario.path("again.toml"), output.stdout).unwrap();
    let again = shown(&scenario, &[], &["--config", "again.toml"]);
    let from_file = again.iter().filter(|(_, (_, from))| from.get("file").is_some());
    let from_file: Vec<(&str, &Json)> = from_file.map(|(key, (value, _))| (key.as_str(), value)).collect();
    let expected = [
        ("allow-private-hosts", &json!("true")),
        ("data-dir", &json!("a \"quoted\" \\ folder")),
        ("ready-lag", &json!("5")),
        ("relay", &json!(["wss://a.example"])),
        ("service-did", &json!("did:web:a.example")),
    ];
    assert_eq!(from_file, expected);
}

#[test]
fn a_file_holds_for_every_command_that_takes_its_settings() {
    let scenario = with_file("data-dir = 'elsewhere'\nidentities = 'plc.json'\nrepos = 'repos'\n");
    // What a command requires may be in the file.
    scenario.succeed(&["replay", "frames.bin", "--config", "appviewd.toml"]);
    assert!(scenario.path("elsewhere/index.db").is_file());
    let there = scenario.succeed(&["fingerprint", "--data-dir", "elsewhere"]);
    assert_eq!(scenario.succeed(&["fingerprint", "--config", "appviewd.toml"]), there);
    assert!(scenario.fail(1, &["fingerprint"]).contains("there is no index at ./appview-data"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_runs_by_its_file() {
    let relay = Relay::start(recording::frames_live().into_iter().map(<[u8]>::to_vec).collect(), 216).await;
    let scenario = with_file(&format!(
        "relay = '{}'\nidentities = 'plc.json'\nrepos = 'repos'\ndata-dir = 'elsewhere'\nservice-did = 'did:web:a.example'\n",
        relay.url()
    ));
    let daemon = Daemon::serve(&scenario, &["--config", "appviewd.toml"]);
    assert_eq!(get(daemon.address, "/.well-known/did.json").await["id"], "did:web:a.example");
    assert!(scenario.path("elsewhere/index.db").is_file());
}

#[test]
fn mistakes_are_told_with_field_rule_and_place() {
    let scenario = with_file(
        "listn = '127.0.0.1:1'\nready-lag = 'soon'\nrelay = ['wss://a.example', 'nonsense']\nallow-private-hosts = 'yes'\n\
         audit-within = [1, 2]\nrate-limit = -1\nsource = 'jetstreem'\nlog = 'xml'\nspare = []\ndata_dir = 'a'\n\
         config = 'another.toml'\nmetrics-listen = 9464\n\n[serve]\nlisten = '127.0.0.1:1'\n",
    );
    let variables = [("APPVIEWD_LISTEN", "localhost"), ("APPVIEWD_PLC", "")];
    let line = ["config", "check", "--config", "appviewd.toml"];
    let checked = told(&scenario, 1, &variables, &line);
    insta::assert_snapshot!("mistakes_in_settings", checked);
    // Whatever would run by them tells the same, and does not begin.
    let served = told(&scenario, 2, &variables, &["serve", "--config", "appviewd.toml"]);
    let mistakes = |told: &str| {
        told.lines()
            .map(|line| line.trim_start_matches("appviewd: ").to_owned())
            .rev()
            .skip(1)
            .collect::<Vec<_>>()
    };
    assert_eq!(mistakes(&served), mistakes(&checked));
    assert!(!scenario.path("appview-data").exists());
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_its_place() {
    let scenario = with_file("listen = '127.0.0.1:1'\nlisten = '127.0.0.1:2'\n");
    let error = scenario.fail(1, &["config", "check", "--config", "appviewd.toml"]);
    assert!(error.starts_with("appviewd.toml:2: "), "{error}");
    let error = scenario.fail(2, &["serve", "--config", "nowhere.toml"]);
    assert!(error.starts_with("appviewd: nowhere.toml: cannot be read"), "{error}");
    assert_eq!(scenario.succeed(&["config", "check"]).lines().count(), 1, "no file is no mistake");
}

#[test]
fn what_belongs_together_must_be_together_wherever_it_is_from() {
    let scenario = with_file("repos = 'repos'\n");
    let error = scenario.fail(2, &["config", "check", "--config", "appviewd.toml"]);
    assert!(error.contains("--identities <FILE>"), "{error}");
    scenario.succeed(&["config", "check", "--config", "appviewd.toml", "serve", "--identities", "plc.json"]);
}

#[test]
fn a_variable_that_is_nearly_one_of_ours_is_noted() {
    let scenario = Scenario::empty();
    let told = told(&scenario, 0, &[("APPVIEWD_LISTN", "127.0.0.1:1")], &["config", "check"]);
    assert_eq!(told, "note: APPVIEWD_LISTN is no setting; is APPVIEWD_LISTEN meant?\n");
}

#[test]
fn the_variables_of_the_first_appview_are_heeded_with_a_note() {
    let scenario = with_file("listen = '127.0.0.1:1'\nbroker = 'did:web:z.example'\n");
    let variables = [
        ("COCORE_APPVIEW_DID", "did:web:a.example"),
        ("COCORE_API_PORT", "3000"),
        ("COCORE_TRUSTED_BROKERAGES", "did:web:b.example did:web:c.example"),
        ("COCORE_RELAY_URL", "wss://relay.example"),
        ("COCORE_DB", "./appview.db"),
        ("COCORE_FEE_BPS", "250"),
        // What is said by our own name holds.
        ("APPVIEWD_RELAY", "wss://ours.example"),
    ];
    let settings = shown(&scenario, &variables, &["--config", "appviewd.toml"]);
    let is = |value: Json, name: &str| (value, json!({"variable": name}));
    assert_eq!(settings["service-did"], is(json!("did:web:a.example"), "COCORE_APPVIEW_DID"));
    assert_eq!(settings["listen"], is(json!("0.0.0.0:3000"), "COCORE_API_PORT"), "before the file");
    assert_eq!(
        settings["broker"],
        is(json!(["did:web:b.example", "did:web:c.example"]), "COCORE_TRUSTED_BROKERAGES")
    );
    assert_eq!(settings["relay"], is(json!(["wss://ours.example"]), "APPVIEWD_RELAY"));
    let notes = told(&scenario, 0, &variables, &["config", "check", "--config", "appviewd.toml"]);
    insta::assert_snapshot!("notes_on_former_variables", notes);
    let error = told(&scenario, 1, &[("COCORE_API_PORT", "http")], &["config", "check"]);
    assert!(error.starts_with("COCORE_API_PORT: listen: expected an address and a port"), "{error}");
}

#[test]
fn help_says_nothing_of_a_file_and_its_mistakes_hide_no_help() {
    let scenario = with_file("nonsense\n");
    let help = scenario.succeed(&["serve", "--config", "appviewd.toml", "--help"]);
    assert!(help.contains("--listen <ADDR>"));
    scenario.fail(2, &[&REPLAY[..], &["--config", "appviewd.toml"]].concat());
}
