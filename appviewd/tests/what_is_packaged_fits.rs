//! What runs the daemon elsewhere fits the daemon: containers and units name settings that it has, alarms and boards numbers that it
//! tells, and each program that reads such a file takes it, where that program is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use appviewd::account::{AccountStore, CREDENTIAL};
use appviewd::command::serve::Limits;
use appviewd::config::Cli;
use appviewd::meter::{FAMILIES, Kind};
use clap::Parser as _;
use serde_json::Value as Json;
use support::Scenario;
use support::document::{self, commands, fault, marked, project, text};
use support::npm::say;
use yaml_rust2::{Yaml, YamlLoader};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn packaged(name: &str) -> String {
    fs::read_to_string(deploy().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(path: &Path) -> Yaml {
    let documents = YamlLoader::load_from_str(&fs::read_to_string(path).unwrap());
    let mut documents = documents.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(documents.len(), 1, "{}", path.display());
    documents.remove(0)
}

/// The files of a folder of the project with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(project().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let has_ending = |path: &PathBuf| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending));
    entries.filter(has_ending).collect()
}

/// The words of a text that begin so; a name is made of letters of one case, digits and underscores.
fn names<'t>(text: &'t str, prefix: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
        .filter(move |word| word.starts_with(prefix))
}

/// What the first line that begins so says after that.
fn after<'t>(text: &'t str, start: &str) -> &'t str {
    let found = text.lines().find_map(|line| line.trim_start().strip_prefix(start));
    found.unwrap_or_else(|| panic!("no line begins with {start}")).trim()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

/// A list of words in JSON, as Dockerfiles have commands.
fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// What a program of others wrote, if it is there; that it is not is said.
fn other(program: &str, arguments: &[&OsStr]) -> Option<(bool, String)> {
    match Command::new(program).args(arguments).current_dir(deploy()).output() {
        Ok(output) => {
            let told = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&told).into_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            say(&format!(
                "skipped: {program} is not installed, so nobody else has read what is packaged for it"
            ));
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn every_setting_that_a_package_names_is_one_of_serve() {
    let help = Scenario::empty().succeed(&["serve", "--help"]);
    let known: BTreeSet<&str> = names(&help, "APPVIEWD_").collect();
    let mut named = BTreeSet::new();
    for file in files("appviewd/deploy", &[""]) {
        let text = fs::read_to_string(&file).unwrap();
        for setting in names(&text, "APPVIEWD_") {
            assert!(known.contains(setting), "{} names {setting}", file.display());
            named.insert(setting.to_owned());
        }
    }
    for needed in ["APPVIEWD_DATA_DIR", "APPVIEWD_LISTEN", "APPVIEWD_METRICS_LISTEN", "APPVIEWD_LOG"] {
        assert!(named.contains(needed), "{needed} is set nowhere");
    }
}

#[test]
fn every_command_that_a_package_runs_is_one_of_ours() {
    let (unit, docker) = (packaged("appviewd.service"), packaged("Dockerfile"));
    let start: Vec<&str> = after(&unit, "ExecStart=").split(' ').collect();
    let (entry, default) = (words(after(&docker, "ENTRYPOINT ")), words(after(&docker, "CMD ")));
    let health = words(after(&docker, "HEALTHCHECK ").split_once("CMD ").unwrap().1);
    assert_eq!(health, ["appviewd", "status", "--running"]);
    for command in [start.into_iter().map(str::to_owned).collect(), [entry, default].concat(), health] {
        assert!(command[0].ends_with("appviewd"), "{command:?}");
        Cli::try_parse_from(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    }
    let mut read = 0;
    for file in files("appviewd/deploy", &[""]) {
        // Their comments show how they are used.
        let text = fs::read_to_string(&file).unwrap().replace("#     ", "");
        let in_marks: Vec<_> =
            text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).flat_map(commands).collect();
        for command in commands(&text).into_iter().chain(in_marks) {
            assert_eq!(fault(&command), None, "{}", file.display());
            read += 1;
        }
    }
    assert!(read >= 2, "only {read} commands were found");
}

#[test]
fn every_command_and_option_that_a_document_names_is_one_of_ours() {
    let options = document::options();
    let (mut read, mut named) = (0, 0);
    let help = ["serve", "verify receipt", "rebuild", "replay"].map(|command| {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        Scenario::empty().succeed(&words)
    });
    let known: BTreeSet<&str> = help.iter().flat_map(|help| names(help, "APPVIEWD_")).collect();
    for file in files("docs", &[".md"]).into_iter().chain([project().join("README.md")]) {
        let text = fs::read_to_string(&file).unwrap();
        let told: String = document::blocks(&text)
            .iter()
            .filter(|block| block.language == "sh")
            .map(|block| &*block.text)
            .collect();
        for command in commands(&told).into_iter().chain(marked(&text).flat_map(commands)) {
            assert_eq!(fault(&command), None, "{}", file.display());
            read += 1;
        }
        for option in marked(&text).filter_map(|text| text.strip_prefix("--")) {
            let name = option.split([' ', '=']).next().unwrap();
            assert!(
                name.is_empty() || options.iter().any(|known| known == name),
                "{}: --{option}",
                file.display()
            );
            named += 1;
        }
        for setting in names(&text, "APPVIEWD_") {
            assert!(known.contains(setting), "{} names {setting}", file.display());
        }
    }
    assert!(read > 30 && named > 30, "{read} commands and {named} options were found");
}

#[test]
fn the_image_is_built_by_our_compiler_from_images_of_a_short_name_and_runs_as_nobody() {
    let docker = packaged("Dockerfile");
    let toolchain = text("rust-toolchain.toml");
    let channel = after(&toolchain, "channel = ").trim_matches('"');
    let images: Vec<&str> = docker
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .map(|image| image.split(' ').next().unwrap())
        .collect();
    assert_eq!(images.len(), 2, "{images:?}");
    assert!(images[0].starts_with(&format!("rust:{channel}-")), "{images:?}");
    assert_eq!(after(&docker, "ENV RUSTUP_TOOLCHAIN="), channel);
    for image in images {
        assert!(!image.contains('/'), "{image} names a registry");
        assert!(image.contains(':') && !image.ends_with(":latest"), "{image} is of no version");
    }
    let user = after(&docker, "USER ");
    let ids = user.split_once(':').map(|(user, group)| (user.parse::<u32>(), group.parse::<u32>()));
    assert!(matches!(ids, Some((Ok(1..), Ok(1..)))), "{user}");
    // What is left out of the build is not needed for it, and what is needed is not left out.
    let left_out = packaged("Dockerfile.dockerignore");
    for needed in ["lexicons", "fixtures", "benches", "appview-core", "Cargo.lock", "VERIFICATION.md"] {
        assert!(!left_out.lines().any(|line| line.trim_matches('/') == needed), "{needed} is left out");
    }
    for heavy in ["target", ".git", "appview-data"] {
        assert!(left_out.lines().any(|line| line == heavy), "{heavy} is sent along");
    }
}

#[test]
fn whoever_stops_it_waits_for_longer_than_it_takes() {
    let longest = Limits::default().stop_within;
    assert!(seconds(after(&packaged("appviewd.service"), "TimeoutStopSec=")) > longest);
    let compose = yaml(&deploy().join("compose.yaml"));
    let service = &compose["services"]["appviewd"];
    assert!(seconds(service["stop_grace_period"].as_str().unwrap()) > longest);
    // The folder of the image's build is the project, wherever the file of the services lies.
    let context = deploy().join(service["build"]["context"].as_str().unwrap());
    assert!(context.join(service["build"]["dockerfile"].as_str().unwrap()).is_file());
    assert!(context.join("Cargo.lock").is_file());
}

#[test]
fn the_unit_is_sound_and_takes_away_what_is_not_needed() {
    let unit = packaged("appviewd.service");
    assert_eq!(after(&unit, "LoadCredential="), CREDENTIAL, "the session key is looked for under its name");
    let folder = after(&unit, "StateDirectory=");
    assert_eq!(after(&unit, "Environment=APPVIEWD_DATA_DIR="), format!("/var/lib/{folder}"));
    // The program is looked for where the unit says, and here it is elsewhere.
    let scratch = tempfile::tempdir().unwrap();
    let copy = scratch.path().join("appviewd.service");
    let start = after(&unit, "ExecStart=").split(' ').next().unwrap();
    fs::write(&copy, unit.replace(start, env!("CARGO_BIN_EXE_appviewd"))).unwrap();
    let Some((is_sound, told)) = other("systemd-analyze", &["verify".as_ref(), copy.as_os_str()]) else {
        return;
    };
    assert!(is_sound && told.is_empty(), "{told}");
    let judge = ["security", "--offline=yes", "--threshold=20", "--no-pager"].map(OsStr::new);
    let (is_confined, told) = other("systemd-analyze", &[&judge[..], &[copy.as_os_str()]].concat()).unwrap();
    assert!(is_confined, "exposed by more than 2.0 of 10:\n{told}");
}

#[test]
fn the_units_that_copy_are_sound() {
    let scratch = tempfile::tempdir().unwrap();
    for name in ["appviewd-copy.service", "appviewd-copy.timer"] {
        // Litestream is looked for where the unit says, and may be nowhere.
        let unit = packaged(name).replace("/usr/local/bin/litestream", env!("CARGO_BIN_EXE_appviewd"));
        fs::write(scratch.path().join(name), unit).unwrap();
    }
    let timer = scratch.path().join("appviewd-copy.timer");
    let Some((is_sound, told)) = other("systemd-analyze", &["verify".as_ref(), timer.as_os_str()]) else {
        return;
    };
    assert!(is_sound && told.is_empty(), "{told}");
}

#[test]
fn copies_of_both_files_lead_back_to_them_and_keep_no_log_from_being_emptied() {
    let scenario = Scenario::played();
    let folder = scenario.path("appview-data");
    let accounts = AccountStore::open(folder.join("account.db"), None).unwrap();
    let copies = scenario.path("copies");
    let config = scenario.path("litestream.yml");
    let here = |text: String| {
        text.replace("/var/lib/appviewd-copy", scenario.path("copy-state").to_str().unwrap())
            .replace("/var/lib/appviewd", folder.to_str().unwrap())
            .replace("${COPY_URL}", &format!("file://{}", copies.display()))
    };
    fs::write(&config, here(packaged("litestream.yml"))).unwrap();
    // As the unit does, while a daemon has the files.
    let unit = packaged("appviewd-copy.service");
    let start: Vec<&str> = after(&unit, "ExecStart=").split(' ').skip(1).collect();
    let start: Vec<&OsStr> = start
        .into_iter()
        .map(|word| if word == "/etc/appviewd-copy.yml" { config.as_os_str() } else { OsStr::new(word) })
        .collect();
    let writer = appview_core::index::Index::open(folder.join("index.db")).unwrap();
    let mut writer = writer.writer(appview_core::record::Catalog::builtin().unwrap()).unwrap();
    for _ in 0..2 {
        let Some((is_copied, told)) = other("litestream", &start) else { return };
        assert!(is_copied, "{told}");
    }
    writer.write_back_log().unwrap();
    accounts.clear_log().unwrap();
    drop((writer, accounts));
    scenario.succeed(&["check"]);
    // Elsewhere.
    fs::create_dir(scenario.path("restored")).unwrap();
    for name in ["index.db", "account.db"] {
        let (to, from) = (scenario.path("restored").join(name), folder.join(name));
        let restore = ["restore".as_ref(), "-config".as_ref(), config.as_os_str(), "-o".as_ref()];
        let (is_restored, told) =
            other("litestream", &[&restore[..], &[to.as_os_str(), from.as_os_str()]].concat()).unwrap();
        assert!(is_restored, "{told}");
    }
    assert_eq!(
        scenario.succeed(&["fingerprint", "--data-dir", "restored"]),
        scenario.succeed(&["fingerprint"])
    );
    scenario.succeed(&["check", "--data-dir", "restored"]);
    scenario.succeed(&["account", "restore", "restored/account.db"]);
}

/// The name of a family, and whether that which is named is one of its series.
fn is_told(name: &str) -> bool {
    FAMILIES.iter().any(|family| match family.kind {
        Kind::Histogram(_) => {
            ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(family.name))
        }
        Kind::Counter | Kind::Gauge => family.name == name,
    })
}

/// The labels that an expression picks by: `name{label="value",…}`.
fn labels(expression: &str) -> impl Iterator<Item = (&str, &str)> {
    let selected = expression.match_indices('{').filter_map(|(at, _)| {
        let start = expression[..at]
            .rfind(|char: char| !char.is_ascii_alphanumeric() && char != '_')
            .map_or(0, |at| at + 1);
        let end = expression[at..].find('}')? + at;
        Some((&expression[start..at], &expression[at + 1..end]))
    });
    selected.filter(|(name, _)| name.starts_with("appview_")).flat_map(|(name, picked)| {
        let picked = picked.split(',').filter(|part| !part.is_empty());
        picked.map(move |part| (name, part.split(['=', '!', '~']).next().unwrap().trim()))
    })
}

#[test]
fn every_number_that_an_alarm_a_board_or_a_document_reads_is_told() {
    let mut read = BTreeSet::new();
    for (path, is_query) in [
        ("appviewd/deploy/alerts.yml", true),
        ("appviewd/deploy/alerts.test.yml", true),
        ("appviewd/deploy/dashboard.json", true),
        ("docs/operate.md", false),
        ("README.md", false),
    ] {
        let text = text(path);
        for name in names(&text, "appview_").filter(|name| *name != "appview_core" && *name != "appview_") {
            // In prose a family is named as such.
            let is_family = !is_query && FAMILIES.iter().any(|family| family.name == name);
            assert!(is_told(name) || is_family, "{path} reads {name}");
            read.insert(name.to_owned());
        }
        let outside = ["instance", "job", "le"];
        for (name, label) in labels(&text).filter(|_| is_query) {
            let family =
                FAMILIES.iter().find(|family| name.starts_with(family.name) && is_told(name)).unwrap();
            assert!(
                outside.contains(&label) || family.labels.contains(&label),
                "{path}: {name} has no {label}"
            );
        }
    }
    assert!(read.len() > 30, "only {} numbers are read", read.len());
}

#[test]
fn the_board_can_be_read_and_each_of_its_pictures_says_what_it_shows() {
    let board: Json = serde_json::from_str(&packaged("dashboard.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let pictures: Vec<_> = panels.iter().filter(|panel| panel["type"] != "row").collect();
    assert!(pictures.len() > 15, "{} pictures", pictures.len());
    for panel in &pictures {
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{}", panel["title"]);
        assert_eq!(panel["datasource"]["uid"], "${source}", "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            let open = |char: char| target["expr"].as_str().unwrap().matches(char).count();
            assert_eq!((open('('), open('{')), (open(')'), open('}')), "{}", panel["title"]);
        }
    }
    // None lies on another.
    let mut taken = BTreeSet::new();
    for panel in panels {
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(side("x") + side("w") <= 24, "{}", panel["title"]);
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{} lies on another", panel["title"]);
            }
        }
    }
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn every_alarm_is_explained_under_its_name_and_nothing_else_is() {
    let rules = yaml(&deploy().join("alerts.yml"));
    let mut alarms = BTreeSet::new();
    for rule in rules["groups"][0]["rules"].as_vec().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("page" | "ticket")), "{name}");
        let runbook = format!("docs/operate.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook"].as_str(), Some(&*runbook));
        assert!(
            rule["annotations"]["summary"].as_str().unwrap().contains("{{ $"),
            "{name} does not say where"
        );
        assert!(alarms.insert(name.to_owned()), "{name} is there twice");
    }
    let manual = text("docs/operate.md");
    let explained = manual.split("\n### ").skip(1).map(|part| part.split_once('\n').unwrap());
    let mut found = BTreeSet::new();
    for (name, text) in explained {
        let rule = rules["groups"][0]["rules"]
            .as_vec()
            .unwrap()
            .iter()
            .find(|rule| rule["alert"].as_str() == Some(name));
        let severity = rule.unwrap_or_else(|| panic!("no alarm is called {name}"))["labels"]["severity"]
            .as_str()
            .unwrap();
        assert!(
            text.trim_start().to_lowercase().starts_with(&format!("*{severity}.*")),
            "{name} is a {severity}"
        );
        found.insert(name.to_owned());
    }
    assert_eq!(found, alarms);
}

#[test]
fn prometheus_takes_the_rules_and_each_fires_when_it_should() {
    let check = ["check", "rules", "alerts.yml"].map(OsStr::new);
    let Some((is_sound, told)) = other("promtool", &check) else { return };
    assert!(is_sound, "{told}");
    let (fires, told) = other("promtool", &["test", "rules", "alerts.test.yml"].map(OsStr::new)).unwrap();
    assert!(fires, "{told}");
}

#[test]
fn every_file_for_another_program_can_be_parsed_and_is_introduced() {
    let paths = files("appviewd/deploy", &[".yml", ".yaml"]);
    let workflows = files(".github/workflows", &[".yml"]);
    assert!(paths.len() >= 4 && workflows.len() >= 2, "{paths:?} {workflows:?}");
    paths.iter().chain(&workflows).for_each(|path| drop(yaml(path)));
    let introduction = packaged("README.md");
    for file in files("appviewd/deploy", &[""]) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let is_introduced = introduction.contains(&format!("]({name})"));
        assert!(is_introduced || ["README.md", "Dockerfile.dockerignore"].contains(&name), "{name}");
    }
}

#[test]
fn what_workflows_use_is_of_a_version_and_they_may_do_little() {
    let mut used = 0;
    for path in files(".github/workflows", &[".yml"]) {
        let workflow = yaml(&path);
        assert_eq!(workflow["permissions"]["contents"].as_str(), Some("read"), "{}", path.display());
        for (name, job) in workflow["jobs"].as_hash().unwrap() {
            for step in job["steps"].as_vec().unwrap() {
                let Some(action) = step["uses"].as_str() else { continue };
                let version = action.split_once('@').unwrap_or_else(|| panic!("{action} in {name:?}")).1;
                let is_major = version.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
                let is_commit = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(is_major || is_commit, "{action}");
                used += 1;
            }
        }
    }
    assert!(used > 8, "only {used} steps were found");
}
