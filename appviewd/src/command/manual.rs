//! `completions` and `man`: what shells and readers know of the command line, made from its definition.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::builder::{Resettable, StyledStr};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::config::Cli;

/// Writes a shell's completions to standard output.
///
/// # Errors
///
/// Standard output is closed.
pub fn completions(shell: Shell) -> Result<()> {
    let mut written = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), env!("CARGO_PKG_NAME"), &mut written);
    std::io::stdout().write_all(&written)?;
    Ok(())
}

/// Writes the manual page of each command into a folder, or the first of them to standard output.
///
/// # Errors
///
/// The folder cannot be written, or standard output is closed.
pub fn pages(folder: Option<&Path>) -> Result<()> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let Some(folder) = folder else {
        std::io::stdout().write_all(&page(root)?.1)?;
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let count = write(root, folder)?;
    writeln!(std::io::stdout(), "{count} pages in {}; `man -l FILE` shows one", folder.display())?;
    Ok(())
}

/// Writes a command's page and those of the commands below it; says how many.
fn write(command: Command, folder: &Path) -> Result<usize> {
    let below: Vec<Command> = command.get_subcommands().cloned().collect();
    let (name, text) = page(command)?;
    let file = folder.join(name);
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    below.into_iter().try_fold(1, |count, command| Ok(count + write(command, folder)?))
}

/// A command's page, and what its file is called.
fn page(command: Command) -> Result<(String, Vec<u8>)> {
    let examples = command.get_after_help().map(ToString::to_string);
    let page = Man::new(command.after_help(Resettable::<StyledStr>::Reset));
    let page = page.source(concat!("appviewd ", env!("CARGO_PKG_VERSION"))).manual("appviewd");
    let mut text = Vec::new();
    page.render(&mut text)?;
    if let Some(examples) = examples {
        // Set as it stands: filled, its lines would run into one another.
        writeln!(text, ".SH EXAMPLES\n.nf\n{}\n.fi", escaped(&examples))?;
    }
    Ok((page.get_filename(), text))
}

/// Text as roff takes it, whose lines must not begin with what looks like a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = text
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}
