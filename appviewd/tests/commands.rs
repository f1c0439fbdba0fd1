//! Every command, run as people run it: the binary, files, exit codes, and the two streams kept apart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use clap::CommandFactory as _;
use fixtures::{car, recording, shared_folder};
use rusqlite::Connection;
use serde_json::{Value as Json, json};

use support::{REPLAY, Scenario, collection, fingerprint, listed, repo};

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

/// A part of a message that follows the number of an error of the operating system, if it is not the first part.
fn without_number((at, part): (usize, &str)) -> &str {
    if at == 0 { part } else { part.split_once(')').unwrap().1 }
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(json).collect()
}

#[test]
fn what_is_exported_is_what_the_pds_listed() {
    let scenario = Scenario::played();
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    let mut expected = listed().into_values();
    for mut exported in lines(&scenario.succeed(&["export"])) {
        let record = expected.next().unwrap();
        // The verdict is this index's opinion; all else is the PDS's word.
        let verdict = exported.as_object_mut().unwrap().remove("verdict").unwrap();
        *verdicts.entry(format!("{} {}", collection(&record.uri), verdict.as_str().unwrap())).or_default() +=
            1;
        assert_eq!(
            exported,
            json!({
                "uri": record.uri, "cid": record.cid, "collection": collection(&record.uri), "repo": repo(&record.uri),
                "rkey": record.uri.rsplit('/').next(), "body": record.value,
            })
        );
    }
    assert!(expected.next().is_none());
    assert_eq!(verdicts.values().sum::<u64>(), 107);
    insta::assert_json_snapshot!("verdicts_of_the_recording", verdicts);
    // Lines of JSON are what it writes anyway.
    assert_eq!(scenario.succeed(&["export", "--json"]), scenario.succeed(&["export"]));
}

#[test]
fn an_export_of_nothing_says_so() {
    let scenario = Scenario::played();
    for (arguments, is_told) in [
        (vec!["export", "--repo", "did:web:nobody.example"], true),
        (vec!["export", "--collection", "dev.cocore.compute.nothing"], true),
        (vec!["export", "--collection", "dev.cocore.compute.job"], false),
    ] {
        let output = scenario.run(&arguments);
        assert!(output.status.success());
        assert_eq!(output.stdout.is_empty(), is_told, "{arguments:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(told.contains("nothing matches"), is_told, "{told}");
    }
}

#[test]
fn an_export_can_be_narrowed_to_collections_and_repositories() {
    let scenario = Scenario::played();
    let (jobs, terms) = ("dev.cocore.compute.job", "dev.cocore.compute.termsAcceptance");
    let (uri, _) = listed().into_iter().find(|(uri, _)| collection(uri) == jobs).unwrap();
    let wanted = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        listed().into_keys().filter(|uri| wanted(uri)).collect()
    };
    for (arguments, expected) in [
        (vec!["--collection", jobs], wanted(&|uri| collection(uri) == jobs)),
        (
            vec!["--collection", jobs, "--collection", terms],
            wanted(&|uri| [jobs, terms].contains(&collection(uri))),
        ),
        (
            vec!["--collection", jobs, "--repo", repo(&uri)],
            wanted(&|other| collection(other) == jobs && repo(other) == repo(&uri)),
        ),
        (vec!["--repo", "did:web:nobody.example"], Vec::new()),
    ] {
        let exported = lines(&scenario.succeed(&[&["export"], arguments.as_slice()].concat()));
        let uris: Vec<String> =
            exported.iter().map(|record| record["uri"].as_str().unwrap().to_owned()).collect();
        assert_eq!(uris, expected, "{arguments:?}");
    }
}

#[test]
fn a_recording_played_twice_changes_nothing() {
    let scenario = Scenario::new();
    let first = scenario.succeed(&REPLAY);
    insta::assert_snapshot!("a_replay_as_text", first);
    let exported = scenario.succeed(&["export"]);
    let again = json(&scenario.succeed(&[REPLAY.as_slice(), &["--json"]].concat()));
    assert_eq!((&again["frames"], &again["commits"]), (&json!(216), &json!(0)));
    assert!(first.contains(again["fingerprint"].as_str().unwrap()));
    assert_eq!(scenario.succeed(&["export"]), exported);
}

#[test]
fn a_rebuild_from_exports_or_from_frames_equals_what_was_followed() {
    let scenario = Scenario::played();
    let before = scenario.succeed(&["fingerprint"]);
    let from_cars = ["rebuild", "--from", "repos", "--identities", "plc.json"];
    let from_frames = ["rebuild", "--from", "frames.bin", "--identities", "plc.json", "--repos", "repos"];
    for arguments in [from_cars.as_slice(), &from_frames] {
        let told = scenario.succeed(arguments);
        assert!(told.ends_with(&format!("fingerprint     {before}                as before\n")), "{told}");
        assert_eq!(scenario.succeed(&["fingerprint"]), before);
        assert_eq!(scenario.succeed(&["check"]).lines().count(), 1);
        let told = json(&scenario.succeed(&[arguments, &["--json"]].concat()));
        assert_eq!(told["fingerprint"], before.trim());
        assert_eq!(told["before"], before.trim());
        assert_eq!((&told["agrees"], &told["failed"]), (&json!(true), &json!([])));
        assert_eq!(told.get("frames"), (arguments == from_frames).then(|| json!(216)).as_ref());
    }
}

#[test]
fn whoever_is_left_out_is_not_brought_back_by_a_file() {
    let scenario = Scenario::played();
    let (did, _) = recording::REPOS[0];
    fs::write(scenario.path("appview-data/repos.txt"), format!("untrack {did}\n")).unwrap();
    let expected = fingerprint(listed().values().filter(|record| repo(&record.uri) != did));
    let from_cars = ["rebuild", "--from", "repos", "--identities", "plc.json"];
    let from_frames = ["rebuild", "--from", "frames.bin", "--identities", "plc.json", "--repos", "repos"];
    for arguments in [from_cars.as_slice(), &from_frames, &REPLAY] {
        let told = json(&scenario.succeed(&[arguments, &["--json"]].concat()));
        assert_eq!(told["fingerprint"], expected, "{arguments:?}");
    }
}

/// Options by their long names, with what they default to.
type Options = BTreeMap<String, String>;

/// What README says that `serve` takes.
fn documented() -> Options {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let table = page.split("\n`serve` takes").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut options = Options::new();
    for line in table.lines().filter(|line| line.starts_with("| `--")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (names, default) = (cells[1], cells[2]);
        for name in names.split("`--").skip(1) {
            let name = name.split([' ', '`']).next().unwrap();
            let twice = options.insert(name.to_owned(), default.trim_matches('`').to_owned());
            assert_eq!(twice, None, "{name} stands twice");
        }
    }
    options
}

#[test]
fn the_settings_of_serve_are_documented_and_what_is_documented_is_there() {
    let command = appviewd::config::Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let mut taken = Options::new();
    // The folder is told of with all commands.
    for option in serve.get_arguments().filter(|option| option.get_long() != Some("data-dir")) {
        let default: Vec<_> =
            option.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
        let default = if default == ["false"] { String::new() } else { default.join(" ") };
        let name = option.get_long().unwrap();
        taken.insert(name.to_owned(), default);
        let variable = format!("APPVIEWD_{}", name.replace('-', "_").to_uppercase());
        let env = option.get_env().map(|env| env.to_str().unwrap());
        assert_eq!(env, Some(&*variable), "{name}");
    }
    assert_eq!(documented(), taken);
    let help = Scenario::empty().succeed(&["serve", "--help"]);
    for name in taken.keys() {
        assert!(help.contains(&format!("--{name}")), "{name}: {help}");
    }
}

/// A scenario with a good index, a rebuild of which must be refused; and what it is told, after it was seen to be as
/// good as before.
fn refused_rebuild(scenario: &Scenario, arguments: &[&str]) -> String {
    let before = scenario.succeed(&["fingerprint"]);
    let told = scenario.fail(1, &[&["rebuild"], arguments].concat());
    assert_eq!(scenario.succeed(&["fingerprint"]), before);
    assert_eq!(scenario.succeed(&["check"]), "123 records, all sound\n");
    assert!(told.contains("the index stays as it was"), "{told}");
    assert!(told.contains("--partial"), "{told}");
    told
}

/// An identities file that knows none of the recorded accounts.
fn nobody(scenario: &Scenario) {
    fs::write(scenario.path("nobody.json"), "{}").unwrap();
}

#[test]
fn a_rebuild_with_the_wrong_identities_leaves_the_index_alone() {
    let scenario = Scenario::played();
    nobody(&scenario);
    let told = refused_rebuild(&scenario, &["--from", "repos", "--identities", "nobody.json"]);
    assert_eq!(told.matches("no identity is known for").count(), 9, "{told}");
    let from_frames = ["--from", "frames.bin", "--identities", "nobody.json", "--repos", "repos"];
    let told = refused_rebuild(&scenario, &from_frames);
    assert!(told.contains("is desynchronized"), "{told}");
}

#[test]
fn a_rebuild_from_an_empty_recording_leaves_the_index_alone() {
    let scenario = Scenario::played();
    fs::write(scenario.path("empty.bin"), "").unwrap();
    let told = refused_rebuild(&scenario, &["--from", "empty.bin", "--identities", "plc.json"]);
    assert!(told.contains("the recording holds no frames"), "{told}");
}

#[test]
fn a_rebuild_from_a_recording_of_others_leaves_the_index_alone() {
    let scenario = Scenario::played();
    let is_foreign = |frame: &&[u8]| {
        let holds = |text: &str| frame.windows(text.len()).any(|part| part == text.as_bytes());
        holds("#commit") && !holds("dev.cocore.")
    };
    let foreign: Vec<&[u8]> = recording::frames_live().into_iter().filter(is_foreign).collect();
    assert!(!foreign.is_empty());
    fs::write(scenario.path("foreign.bin"), recording::frame_file(&foreign)).unwrap();
    let told = refused_rebuild(&scenario, &["--from", "foreign.bin", "--identities", "plc.json"]);
    assert!(told.contains("the recording leads to no repository"), "{told}");
}

#[test]
fn a_rebuild_from_a_stream_that_was_closed_leaves_the_index_alone() {
    let scenario = Scenario::played();
    fs::write(scenario.path("future.bin"), recording::FUTURE_CURSOR).unwrap();
    let told = refused_rebuild(&scenario, &["--from", "future.bin", "--identities", "plc.json"]);
    assert!(told.contains("the service closed the stream with FutureCursor: "), "{told}");
}

#[test]
fn a_rebuild_that_would_be_behind_leaves_the_index_alone() {
    let scenario = Scenario::played();
    fs::write(scenario.path("replay.bin"), recording::REPLAY).unwrap();
    let told = refused_rebuild(&scenario, &["--from", "replay.bin", "--identities", "plc.json"]);
    assert!(told.contains("is desynchronized"), "{told}");
}

#[test]
fn a_partial_rebuild_from_frames_names_what_was_left_out() {
    let scenario = Scenario::played();
    fs::write(scenario.path("replay.bin"), recording::REPLAY).unwrap();
    let arguments = ["rebuild", "--from", "replay.bin", "--identities", "plc.json", "--partial"];
    let output = scenario.run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let output = scenario.run(&[arguments.as_slice(), &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = json(std::str::from_utf8(&output.stdout).unwrap());
    let count = |name: &str| told[name].as_u64().unwrap();
    let failed = told["failed"].as_array().unwrap();
    assert!(!failed.is_empty());
    assert_eq!(count("desynchronized") + count("returning"), failed.len() as u64);
    for reason in failed {
        let line = format!("left out        {}\n", reason.as_str().unwrap());
        assert!(text.contains(&line), "{text}");
    }
    assert!(text.contains(&format!("fingerprint     {}\n", scenario.succeed(&["fingerprint"]).trim())));
}

#[test]
fn a_replay_without_exports_says_what_waits_to_be_proven_again() {
    let scenario = Scenario::played();
    let without = ["replay", "frames.bin", "--identities", "plc.json"];
    let output = scenario.run(&without);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("waiting to be proven again"), "{told}");
    let output = scenario.run(&[without.as_slice(), &["--json"]].concat());
    assert_eq!(output.status.code(), Some(4));
    let told = json(std::str::from_utf8(&output.stdout).unwrap());
    assert!(told["returning"].as_u64() > Some(0), "{told}");
    // With the exports, all is proven again.
    let told = json(&scenario.succeed(&[REPLAY.as_slice(), &["--json"]].concat()));
    assert_eq!((&told["returning"], &told["desynchronized"]), (&json!(0), &json!(0)));
    assert_eq!(told["fingerprint"], fingerprint(listed().values()));
}

#[test]
fn a_rebuild_is_refused_for_one_bad_export_and_leaves_it_out_if_told_to() {
    let scenario = Scenario::played();
    let (did, car) = recording::REPOS[0];
    let path = scenario.path("repos").join(format!("{}.car", did.replace(':', "_")));
    let mut damaged = car.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(path, damaged).unwrap();
    let told = refused_rebuild(&scenario, &["--from", "repos", "--identities", "plc.json"]);
    assert!(told.contains(&format!("repos/{}.car: ", did.replace(':', "_"))), "{told}");
    let output = scenario.run(&["rebuild", "--from", "repos", "--identities", "plc.json", "--partial"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    let expected = fingerprint(listed().values().filter(|record| repo(&record.uri) != did));
    assert!(told.starts_with(&format!("left out        repos/{}.car: ", did.replace(':', "_"))), "{told}");
    assert!(told.contains(&format!("\nfingerprint     {expected}\n")), "{told}");
}

#[test]
fn a_fingerprint_is_what_its_definition_says_of_the_whole_and_of_every_part() {
    let scenario = Scenario::played();
    let listed = listed();
    assert_eq!(scenario.succeed(&["fingerprint"]), format!("{}\n", fingerprint(listed.values())));
    let whole = json(&scenario.succeed(&["fingerprint", "--json"]));
    assert_eq!(whole, json!({"fingerprint": fingerprint(listed.values())}));
    for (by, part) in [("collection", collection as fn(&str) -> &str), ("repo", repo)] {
        let mut parts: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (uri, record) in &listed {
            parts.entry(part(uri)).or_default().push(record);
        }
        let told = lines(&scenario.succeed(&["fingerprint", "--by", by, "--json"]));
        let expected: Vec<Json> = parts
            .iter()
            .map(|(of, records)| {
                json!({"of": of, "records": records.len(), "fingerprint": fingerprint(records.iter().copied())})
            })
            .collect();
        assert_eq!(told, expected);
        let table = scenario.succeed(&["fingerprint", "--by", by]);
        let expected: Vec<String> = parts
            .iter()
            .map(|(of, records)| {
                format!("{}  {:>8}  {of}", fingerprint(records.iter().copied()), records.len())
            })
            .collect();
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_check_finds_a_changed_byte_and_names_its_record() {
    let scenario = Scenario::played();
    assert_eq!(scenario.succeed(&["check"]), "123 records, all sound\n");
    assert_eq!(
        json(&scenario.succeed(&["check", "--json"])),
        json!({"records": 123, "damaged": 0, "damage": []})
    );
    let (uri, record) = listed().into_iter().find(|(uri, _)| collection(uri).ends_with(".receipt")).unwrap();
    let conn = Connection::open(scenario.path("appview-data/index.db")).unwrap();
    let find = "select record.id, body from record join did on did.id = repo join collection on collection.id = collection
                 where did = ?1 and nsid = ?2 and rkey = ?3";
    let rkey = uri.rsplit('/').next();
    let (id, mut body): (i64, Vec<u8>) = conn
        .query_row(find, (repo(&uri), collection(&uri), rkey), |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    *body.last_mut().unwrap() ^= 1;
    assert_eq!(conn.execute("update record set body = ?1 where id = ?2", (body, id)).unwrap(), 1);
    drop(conn);

    let output = scenario.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with(&format!("{uri}: expected a block of {}, found one of ", record.cid)), "{told}");
    assert_eq!(told.lines().count(), 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("`appviewd rebuild`"));
    let output = scenario.run(&["check", "--json"]);
    let told = json(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!((output.status.code(), &told["damaged"]), (Some(1), &json!(1)));
    assert!(told["damage"][0].as_str().unwrap().starts_with(&uri));

    // As it is told: a rebuild makes a sound one.
    scenario.succeed(&["rebuild", "--from", "repos", "--identities", "plc.json"]);
    scenario.succeed(&["check"]);
}

#[test]
fn a_check_lists_damage_that_keeps_the_index_from_being_opened() {
    let scenario = Scenario::played();
    let path = scenario.path("appview-data/index.db");
    let mut file = fs::read(&path).unwrap();
    // The second page and all after it, in a file that still says what it is.
    file[4096..].fill(0xff);
    fs::write(&path, file).unwrap();
    let output = scenario.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.starts_with(b"structure: "), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`appviewd rebuild`"));
    let other = scenario.fail(1, &["fingerprint"]);
    assert!(other.contains("rebuild the index"), "{other}");
}

#[test]
fn a_frame_is_shown_with_its_operations_and_records() {
    let scenario = Scenario::new();
    let nth = 1 + recording::frames_live()
        .iter()
        .position(|frame| frame.windows(26).any(|part| part == b"dev.cocore.account.profile"))
        .unwrap();
    let nth = nth.to_string();
    insta::assert_snapshot!(
        "a_frame_as_text",
        scenario.succeed(&["inspect", "frame", "frames.bin", "--nth", &nth])
    );
    let shown = json(&scenario.succeed(&["inspect", "frame", "frames.bin", "--nth", &nth, "--json"]));
    insta::assert_json_snapshot!("a_frame_as_json", shown);
    // A single frame needs no length before it.
    fs::write(scenario.path("frame.bin"), recording::frames_live()[0]).unwrap();
    let single = scenario.succeed(&["inspect", "frame", "frame.bin", "--json"]);
    assert_eq!(single, scenario.succeed(&["inspect", "frame", "frames.bin", "--json"]));
    assert_eq!(json(&single)["type"], "#identity");
}

#[test]
fn every_kind_of_frame_can_be_shown() {
    let scenario = Scenario::new();
    let recordings = [recording::LIVE, recording::OUTDATED_CURSOR, recording::FUTURE_CURSOR];
    let mut kinds = BTreeMap::new();
    for (file, recorded) in recordings.into_iter().enumerate() {
        let name = format!("{file}.bin");
        fs::write(scenario.path(&name), recorded).unwrap();
        for nth in 1..=recording::frames(recorded).len().min(12) {
            let arguments = ["inspect", "frame", &name, "--nth", &nth.to_string()];
            let shown = scenario.succeed(&[arguments.as_slice(), &["--json"]].concat());
            let kind = json(&shown)["type"].as_str().unwrap().to_owned();
            kinds.entry(kind).or_insert_with(|| scenario.succeed(&arguments));
        }
    }
    let seen: Vec<&str> = kinds.keys().map(String::as_str).collect();
    let tables: Vec<&str> =
        kinds.iter().filter(|(kind, _)| *kind != "#commit").map(|(_, shown)| shown.as_str()).collect();
    insta::assert_snapshot!("other_frames_as_text", tables.join("\n"));
    assert_eq!(seen, ["#account", "#commit", "#identity", "#info", "#sync", "error"]);
}

#[test]
fn a_car_is_listed_as_its_pds_listed_it() {
    let scenario = Scenario::new();
    let oracle = recording::Oracle::read();
    for account in oracle.accounts.iter().filter(|account| account.active) {
        let file = format!("repos/{}.car", account.did.replace(':', "_"));
        let shown = json(&scenario.succeed(&["inspect", "car", &file, "--json"]));
        assert_eq!(shown["did"], account.did);
        assert_eq!(Some(&shown["rev"]), account.rev.clone().map(Json::from).as_ref());
        assert_eq!(Some(&shown["commit"]), account.head.clone().map(Json::from).as_ref());
        let ours: Vec<(String, String)> = shown["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| (record["path"].as_str().unwrap(), record["cid"].as_str().unwrap()))
            .filter(|(path, _)| path.starts_with("dev.cocore."))
            .map(|(path, cid)| (format!("at://{}/{path}", account.did), cid.to_owned()))
            .collect();
        let expected: Vec<(String, String)> = listed()
            .into_values()
            .filter(|record| repo(&record.uri) == account.did)
            .map(|record| (record.uri, record.cid))
            .collect();
        assert_eq!(ours, expected);
    }
}

#[test]
fn a_car_of_the_live_network_is_listed_as_another_implementation_lists_it() {
    let Some(folder) = shared_folder("live-relay") else {
        return;
    };
    let scenario = Scenario::new();
    let file = folder.join("repo.car");
    let file = file.to_str().unwrap();
    let told = fs::read_to_string(folder.join("car_expected_commit.txt")).unwrap();
    let told: BTreeMap<&str, &str> = told.lines().filter_map(|line| line.split_once(": ")).collect();
    let listing = fs::read_to_string(folder.join("car_expected_records.tsv")).unwrap();
    let shown = scenario.succeed(&["inspect", "car", file]);
    let (head, records) = shown.split_once("\n\n").unwrap();
    assert_eq!(records, listing);
    for (name, value) in [("did", told["DID"]), ("rev", told["Revision"]), ("data", told["Data CID"])] {
        assert!(head.lines().any(|line| line == format!("{name:<8}{value}")), "{name} in {head}");
    }
    let shown = json(&scenario.succeed(&["inspect", "car", file, "--json"]));
    let records: String = shown["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| format!("{}\t{}\n", record["path"].as_str().unwrap(), record["cid"].as_str().unwrap()))
        .collect();
    assert_eq!(records, listing);
    assert_eq!(
        (&shown["did"], &shown["rev"], &shown["data"]),
        (&json!(told["DID"]), &json!(told["Revision"]), &json!(told["Data CID"]))
    );
}

#[test]
fn a_record_is_shown_with_its_cid_and_judged() {
    let scenario = Scenario::new();
    let (uri, record) = listed().into_iter().find(|(uri, _)| collection(uri).ends_with(".profile")).unwrap();
    let blocks = car::read(recording::repo(repo(&uri)).unwrap()).blocks;
    let (_, block) = blocks.iter().find(|(cid, _)| cid.to_string() == record.cid).unwrap();
    fs::write(scenario.path("profile.cbor"), block).unwrap();
    let shown = json(&scenario.succeed(&["inspect", "record", "profile.cbor", "--json"]));
    assert_eq!(shown, json!({"cid": record.cid, "verdict": "valid", "findings": [], "record": record.value}));
    insta::assert_snapshot!("a_record_as_text", scenario.succeed(&["inspect", "record", "profile.cbor"]));
    // Under another key it is not what its lexicon asks for.
    let judged = scenario.succeed(&["inspect", "record", "profile.cbor", "--rkey", "3jzfcijpj2z2a"]);
    assert!(!judged.contains("verdict  valid"), "{judged}");
}

#[test]
fn mistakes_are_answered_with_what_to_do_next() {
    let scenario = Scenario::new();
    let foreign = scenario.path("foreign");
    fs::create_dir(&foreign).unwrap();
    Connection::open(foreign.join("index.db")).unwrap().execute_batch("create table t (x)").unwrap();
    fs::create_dir(scenario.path("text")).unwrap();
    fs::write(scenario.path("text/index.db"), "a text that is no database at all").unwrap();
    fs::create_dir(scenario.path("empty")).unwrap();
    fs::write(scenario.path("notes.txt"), "notes").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let replay = |change: &[&'static str]| [&["replay"], change].concat();
    let mut told = String::new();
    for (code, arguments) in [
        (1, vec!["fingerprint"]),
        (1, vec!["export", "--data-dir", "nowhere"]),
        (1, vec!["check", "--data-dir", "foreign"]),
        (1, vec!["check", "--data-dir", "text"]),
        (1, replay(&["frames.bin", "--identities", "plc.json", "--data-dir", "foreign"])),
        (1, replay(&["nowhere.bin", "--identities", "plc.json"])),
        (1, replay(&["notes.txt", "--identities", "plc.json"])),
        (1, replay(&["repos", "--identities", "plc.json"])),
        (1, replay(&["frames.bin", "--identities", "nowhere.json"])),
        (1, replay(&["frames.bin", "--identities", "notes.txt"])),
        (1, replay(&["frames.bin", "--identities", "repos"])),
        (1, replay(&["frames.bin", "--identities", "plc.json", "--repos", "notes.txt"])),
        (1, replay(&["frames.bin", "--identities", "plc.json", "--data-dir", "notes.txt"])),
        (2, replay(&["frames.bin"])),
        (1, vec!["rebuild", "--from", "empty", "--identities", "plc.json"]),
        (1, vec!["rebuild", "--from", "nowhere", "--identities", "plc.json"]),
        (1, vec!["rebuild", "--from", "repos", "--identities", "plc.json", "--data-dir", "foreign"]),
        (1, vec!["inspect", "frame", "notes.txt"]),
        (1, vec!["inspect", "frame", "frames.bin", "--nth", "217"]),
        (1, vec!["inspect", "frame", "notes.txt", "--nth", "1"]),
        (2, vec!["inspect", "frame", "frames.bin", "--nth", "0"]),
        (1, vec!["inspect", "car", "notes.txt"]),
        (1, vec!["inspect", "car", "nowhere.car"]),
        (1, vec!["inspect", "car", "repos"]),
        (1, vec!["inspect", "frame", "repos"]),
        (1, vec!["inspect", "record", "frames.bin"]),
        (1, vec!["record", "--relay", "ws://127.0.0.1:1", "--frames", "1"]),
        (2, vec!["record", "--relay", "nonsense", "--frames", "1"]),
        (2, vec!["serve", "--relay", "ftp://relay.example", "--identities", "plc.json"]),
        (2, vec!["serve", "--plc", "nonsense"]),
        (2, vec!["serve", "--plc", "ftp://plc.example"]),
        (2, vec!["serve", "--plc", "https://"]),
        (1, vec!["serve", "--identities", "plc.json", "--listen", &address]),
        (1, vec!["demo", "--listen", &address]),
        (2, vec!["export", "--repo", "alice.example"]),
        (2, vec!["export", "--collection", "receipts"]),
        (2, vec!["chekc"]),
    ] {
        let error = scenario.fail(code, &arguments);
        // The numbers are one operating system's.
        let error: String = error.split(" (os error ").enumerate().map(without_number).collect();
        told += &format!("$ appviewd {}\n{}\n", arguments.join(" "), error.trim_end());
        told += "\n";
    }
    insta::assert_snapshot!(told.replace(&address, "127.0.0.1:PORT"));
}

#[test]
fn an_index_that_is_being_written_has_no_second_writer() {
    let scenario = Scenario::played();
    let lock = fs::File::options().write(true).open(scenario.path("appview-data/index.db.lock")).unwrap();
    lock.lock().unwrap();
    for arguments in [REPLAY.as_slice(), &["rebuild", "--from", "repos", "--identities", "plc.json"]] {
        let error = scenario.fail(1, arguments);
        assert!(error.contains("locked by another writer"), "{error}");
    }
    // Reading goes on.
    scenario.succeed(&["fingerprint"]);
}

#[test]
fn a_recording_that_is_cut_short_is_played_up_to_there() {
    let scenario = Scenario::new();
    fs::write(scenario.path("frames.bin"), &recording::LIVE[..recording::LIVE.len() - 1]).unwrap();
    let error = scenario.fail(1, &REPLAY);
    assert!(error.contains("frame 216 is cut short"), "{error}");
    assert_ne!(scenario.succeed(&["export"]), "");
}

#[test]
fn a_service_that_ends_the_stream_gives_an_exit_code_of_its_own() {
    let scenario = Scenario::new();
    fs::write(scenario.path("frames.bin"), recording::FUTURE_CURSOR).unwrap();
    let output = scenario.run(&REPLAY);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stdout).unwrap().contains("the service     FutureCursor: "));
}

#[test]
fn whoever_closes_standard_output_early_is_not_told_of_an_error() {
    use std::process::Stdio;
    let scenario = Scenario::played();
    let mut child =
        scenario.command(&["export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_help_of_every_command_is_worth_reading() {
    let scenario = Scenario::new();
    for command in [
        "",
        "demo",
        "serve",
        "status",
        "top",
        "repo",
        "repo status",
        "repo track",
        "repo untrack",
        "repo resync",
        "pause",
        "resume",
        "replay",
        "rebuild",
        "verify",
        "verify receipt",
        "verify record",
        "verify settlement",
        "bundle",
        "inspect",
        "inspect frame",
        "inspect car",
        "inspect record",
        "record",
        "account",
        "account backup",
        "account restore",
        "account migrate",
        "account rotate-key",
        "key",
        "key list",
        "key revoke",
        "check",
        "fingerprint",
        "export",
        "config",
        "config show",
        "config check",
        "completions",
        "man",
    ] {
        let arguments: Vec<&str> =
            command.split(' ').filter(|word| !word.is_empty()).chain(["--help"]).collect();
        let help = scenario.succeed(&arguments);
        let help: String = help.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
        insta::assert_snapshot!(format!("help {command}").trim().replace(' ', "_"), help);
    }
}
