//! A PLC directory and PDSes as a process: `fixtures/real-network/network.mjs`, told what happens and asked what there is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use fixtures::recording::Record;
use serde_json::{Value as Json, json};

use super::npm;

/// Ends when it is dropped.
pub struct Network {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// URL of the directory.
    pub plc: String,
    /// URL of each host's stream.
    pub streams: Vec<String>,
}

impl Network {
    /// A directory and as many hosts; none where they cannot be installed.
    pub fn start(hosts: usize) -> Option<Self> {
        let folder = npm::installed("real-network")?;
        let mut process = Command::new("node")
            .args(["network.mjs", &hosts.to_string()])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let ready = read(&mut answers);
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        let streams = ready["hosts"].as_array().unwrap().iter().map(|host| text(&host["stream"])).collect();
        Some(Self { process, commands, answers, plc: text(&ready["plc"]), streams })
    }

    /// Has a command carried out, and gives what it answers.
    pub fn tell(&mut self, command: &Json) -> Json {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut answer = read(&mut self.answers);
        assert_eq!(answer.get("failed"), None, "{command}");
        answer["done"].take()
    }

    /// What the hosts list of `dev.cocore.*`, by URI.
    pub fn listed(&mut self) -> BTreeMap<String, Record> {
        let listed = self.tell(&json!({"do": "list", "namespace": "dev.cocore."}));
        let records: Vec<Record> = serde_json::from_value(listed).unwrap();
        let count = records.len();
        let by_uri: BTreeMap<_, _> = records.into_iter().map(|record| (record.uri.clone(), record)).collect();
        assert_eq!(by_uri.len(), count, "an account is shown by one host");
        by_uri
    }

    /// The newest event of each stream on which there is any.
    pub fn heads(&mut self) -> BTreeMap<String, i64> {
        let heads: BTreeMap<String, Option<i64>> =
            serde_json::from_value(self.tell(&json!({"do": "heads"}))).unwrap();
        heads.into_iter().filter_map(|(stream, head)| Some((stream, head?))).collect()
    }

    /// A further account, by its DID.
    pub fn account(&mut self, host: usize, name: &str) -> String {
        let made = self.tell(&json!({"do": "createAccount", "host": host, "name": name}));
        made["did"].as_str().unwrap().to_owned()
    }

    /// What needs no more than to say whom it is about.
    pub fn tell_of(&mut self, command: &str, did: &str) {
        self.tell(&json!({"do": command, "did": did}));
    }

    /// A further record; gives its key.
    pub fn create(&mut self, did: &str, record: &Json) -> String {
        let create =
            json!({"do": "createRecord", "did": did, "collection": record["$type"], "record": record});
        let made = self.tell(&create);
        made["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    /// A record at a key, whether or not there was one.
    pub fn put(&mut self, did: &str, rkey: &str, record: &Json) {
        let collection = &record["$type"];
        self.tell(
            &json!({"do": "putRecord", "did": did, "collection": collection, "rkey": rkey, "record": record}),
        );
    }

    /// A record less.
    pub fn delete(&mut self, did: &str, collection: &str, rkey: &str) {
        self.tell(&json!({"do": "deleteRecord", "did": did, "collection": collection, "rkey": rkey}));
    }

    /// Several writes in one commit: `{action, collection, rkey, value}`.
    pub fn apply(&mut self, did: &str, writes: Vec<Json>) {
        self.tell(&json!({"do": "applyWrites", "did": did, "writes": writes}));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The end of the commands is the end of it, and it cleans up.
        drop(self.commands.take());
        let _ = self.process.wait();
    }
}

fn read(answers: &mut BufReader<ChildStdout>) -> Json {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    serde_json::from_str(&line).expect("the network answers")
}
