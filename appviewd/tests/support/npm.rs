//! The packages of a folder of `fixtures`: installed once for each lock file and each Node.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value as Json;

/// A folder with the scripts of `fixtures/<name>` and their packages; none where npm is not there or reaches no registry, which
/// is said on standard error whether or not the test's output is shown.
///
/// # Panics
/// If npm reaches its registry and the install fails.
pub fn installed(name: &str) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    match install(name) {
        Ok(folder) => Some(folder),
        Err(Unavailable(why)) => {
            say(&format!("skipped: {why}"));
            None
        }
    }
}

/// Why there can be no install, through no fault of the packages.
struct Unavailable(String);

fn install(name: &str) -> Result<PathBuf, Unavailable> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name);
    let named = ["package.json", "package-lock.json"];
    // The packages of one lock file differ with the Node that their native parts were compiled for.
    let mut key = blake3::Hasher::new();
    for file in named {
        key.update(&fs::read(scripts.join(file)).unwrap());
    }
    key.update(&run("node", &["--version"], &scripts)?.stdout);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let folder = kept.join(&key.finalize().to_hex()[..16]);
    if !folder.is_dir() {
        find_registry(&scripts)?;
        fs::create_dir_all(&kept).unwrap();
        // It gets its name when it is whole.
        let unfinished = tempfile::tempdir_in(&kept).unwrap();
        for file in named {
            fs::copy(scripts.join(file), unfinished.path().join(file)).unwrap();
        }
        say(&format!("installing the packages of fixtures/{name} from npm: a minute or two, once"));
        let npm = run("npm", &["ci", "--engine-strict", "--no-audit", "--no-fund"], unfinished.path())?;
        assert!(npm.status.success(), "npm ci: {}", String::from_utf8_lossy(&npm.stderr));
        // Another test may have been first.
        if fs::rename(unfinished.path(), &folder).is_ok() {
            let _ = unfinished.keep();
        }
    }
    // Node looks for packages beside the script that asks for them.
    for entry in fs::read_dir(&scripts).unwrap() {
        let script = entry.unwrap().path();
        if script.extension().is_some_and(|extension| extension == "mjs") {
            fs::copy(&script, folder.join(script.file_name().unwrap())).unwrap();
        }
    }
    Ok(folder)
}

/// Only an answer shows that there is a registry: any but a server's failure. A refusal is for the install to meet.
fn find_registry(folder: &Path) -> Result<(), Unavailable> {
    let ping = ["ping", "--json", "--fetch-retries=1", "--fetch-timeout=10000"];
    let npm = run("npm", &ping, folder)?;
    let told: Json = serde_json::from_slice(&npm.stdout).unwrap_or_default();
    let code = told["error"]["code"].as_str().unwrap_or("no answer");
    let is_refusal = code.len() == 4 && code.starts_with("E4");
    if npm.status.success() || is_refusal {
        return Ok(());
    }
    Err(Unavailable(format!("npm cannot be reached ({code}), so there are no packages to test with")))
}

#[expect(clippy::explicit_write, reason = "what is printed is shown of failed tests only")]
pub fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").unwrap();
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<Output, Unavailable> {
    match Command::new(program).args(arguments).current_dir(folder).output() {
        Ok(output) => Ok(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Unavailable(format!("{program} is not installed, so there are no packages to test with")))
        }
        Err(error) => panic!("{program}: {error}"),
    }
}
