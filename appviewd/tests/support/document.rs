//! What a document has people type: its shell blocks, what is shown beside them, and the commands of this program that it names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

/// The folder of the project.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A text of the project.
pub fn text(path: impl AsRef<Path>) -> String {
    let path = project().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What stands behind the fence.
    pub language: String,
    /// What a comment on the line before it says.
    pub remark: Option<String>,
    pub text: String,
}

impl Block {
    /// Whether it is for a shell, and nothing says that it is not run.
    pub fn is_run(&self) -> bool {
        let is_left_out = self.remark.as_ref().is_some_and(|remark| remark.starts_with("not run"));
        self.language == "sh" && !is_left_out
    }
}

/// The fenced blocks of a document, in order.
pub fn blocks(document: &str) -> Vec<Block> {
    let (mut blocks, mut before) = (Vec::new(), "");
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| !line.starts_with("```"));
            let text = text.flat_map(|line| [line, "\n"]).collect();
            let remark = before.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
            blocks.push(Block { language: language.to_owned(), remark: remark.map(str::to_owned), text });
        }
        before = line;
    }
    blocks
}

/// What stands in code marks on one line, outside of blocks.
pub fn marked(document: &str) -> impl Iterator<Item = &str> {
    let prose = document.split("```").step_by(2);
    prose.flat_map(str::lines).flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The commands of this program in a script, each as its words.
pub fn commands(script: &str) -> Vec<Vec<String>> {
    let script = script.replace("\\\n", " ");
    let lines = script.lines().map(|line| line.split(" #").next().unwrap());
    let parts = lines.flat_map(|line| line.split(['|', ';', '(', ')', '&']));
    let commands = parts.filter_map(|part| {
        let words = part.split_whitespace().skip_while(|word| matches!(*word, "sudo" | "exec"));
        let words: Vec<String> = words.map(str::to_owned).collect();
        (words.first().map(String::as_str) == Some("appviewd")).then_some(words)
    });
    commands.collect()
}

/// Why a command line names something that the program has not; nothing if it has it all. Values are not looked at: in
/// documents they are often words like FILE.
pub fn fault(words: &[String]) -> Option<String> {
    let mut root = appviewd::config::Cli::command();
    root.build();
    let (mut command, mut is_named) = (&root, true);
    // Behind `config show` and `config check` may stand another command line.
    let is_told_of = words.get(1).is_some_and(|word| word == "config")
        && words.get(3).is_some_and(|word| root.find_subcommand(word).is_some());
    for word in words.iter().skip(if is_told_of { 3 } else { 1 }) {
        if let Some(flag) = word.strip_prefix("--") {
            let name = flag.split('=').next().unwrap_or_default().trim_end_matches([',', '.']);
            let is_known = name == "help" || name == "version";
            if !is_known && !command.get_arguments().any(|argument| argument.get_long() == Some(name)) {
                return Some(format!("`{}` has no --{name}", words.join(" ")));
            }
            is_named = false;
        } else if let Some(sub) = command.find_subcommand(word).filter(|_| is_named) {
            command = sub;
        } else if is_named && command.has_subcommands() {
            // Written in capitals, a word stands for any command.
            let is_placeholder = word.chars().all(|char| char.is_ascii_uppercase());
            return (!is_placeholder).then(|| format!("`{}`: no command is called {word}", words.join(" ")));
        }
    }
    None
}

/// Every long option of every command.
pub fn options() -> Vec<String> {
    fn of(command: &clap::Command, options: &mut Vec<String>) {
        options.extend(command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)));
        command.get_subcommands().for_each(|sub| of(sub, options));
    }
    let mut options = vec!["help".to_owned(), "version".to_owned()];
    of(&appviewd::config::Cli::command(), &mut options);
    options
}
