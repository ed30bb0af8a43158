//! Programs that no Go module has: the machine's own, or else those of its distribution, unpacked into the cache and not installed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::assets::{Environment, say};
use crate::compile::once;

/// Each with its package.
const PROGRAMS: [(&str, &str); 2] = [("runc", "runc"), ("nft", "nftables")];

/// The root of a file system that has what is missing on this machine; `None` when nothing is.
pub(crate) fn missing_programs(cache: &Path, env: Environment) -> Result<Option<PathBuf>> {
    let packages: Vec<&str> =
        PROGRAMS.into_iter().filter(|(name, _)| !is_present(name, env)).map(|(_, package)| package).collect();
    if packages.is_empty() {
        return Ok(None);
    }
    let root = cache.join("debian").join(packages.join("-"));
    once(&root, |unfinished| unpack(&packages, unfinished)).with_context(|| {
        format!("{} cannot be had from apt-get: install what is missing yourself", packages.join(" and "))
    })?;
    Ok(Some(root))
}

fn is_present(program: &str, env: Environment) -> bool {
    let path = env("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).any(|directory| directory.join(program).is_file())
}

/// Downloads the packages with whatever else of theirs is not installed, and unpacks all of it into `root`.
fn unpack(packages: &[&str], root: &Path) -> Result<()> {
    let archives = root.join("archives");
    fs::create_dir_all(archives.join("partial"))?;
    let mut download = Command::new("apt-get");
    download.args(["install", "--yes", "--quiet", "--download-only", "--no-install-recommends"]);
    // Nothing is installed, so nobody is in the way of nobody; the cache is ours.
    download.args(["-o", "Debug::NoLocking=1", "-o"]).arg(format!("Dir::Cache::Archives={}", archives.display()));
    download.args(packages);
    if run(&mut download).is_err() {
        say("apt-get knows no packages or old ones: apt-get update");
        run(Command::new("apt-get").args(["update", "--quiet"]))?;
        run(&mut download)?;
    }
    for entry in fs::read_dir(&archives)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(root))?;
        }
    }
    Ok(fs::remove_dir_all(archives)?)
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
