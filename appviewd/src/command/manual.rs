//! `completions` and `man`: what shells and readers know of the command line, made from its definition.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
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
        let mut page = Vec::new();
        Man::new(root).render(&mut page)?;
        std::io::stdout().write_all(&page)?;
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let count = write(root, folder)?;
    writeln!(
        std::io::stdout(),
        "{count} pages in {}; read them with `man -M` or `man -l`",
        folder.display()
    )?;
    Ok(())
}

/// Writes a command's page and those of the commands below it; says how many.
fn write(command: Command, folder: &Path) -> Result<usize> {
    let below: Vec<Command> =
        command.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let page = Man::new(command);
    let file = folder.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text)?;
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    below.into_iter().try_fold(1, |count, command| Ok(count + write(command, folder)?))
}
