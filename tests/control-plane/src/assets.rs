//! Finds the binaries of the control plane: those of `KUBEBUILDER_ASSETS` first, the rest built once into a cache.

use std::env;
use std::ffi::OsString;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::compile::{self, CONTROL_PLANE};

/// The environment, as an argument, so that tests can have another one.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// That of this process, in which an empty variable counts as none.
pub(crate) fn environment(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Where the binaries are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assets {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Garbage collection and namespaces.
    pub kube_controller_manager: PathBuf,
    /// The command line.
    pub kubectl: PathBuf,
}

impl Assets {
    /// Finds the binaries; builds them first if need be, which takes minutes and says so on standard error. Blocks.
    ///
    /// `KUBEBUILDER_ASSETS` names a directory with binaries. The cache is `SNAPHOOK_CACHE`, or `snaphook` in
    /// `XDG_CACHE_HOME`, or in `~/.cache`.
    ///
    /// # Errors
    /// When there is something to build and no Go to build it with.
    pub fn find() -> Result<Self> {
        Self::find_in(&environment)
    }

    fn find_in(env: Environment) -> Result<Self> {
        // Absolute: the processes start in a directory of their own.
        let given = env("KUBEBUILDER_ASSETS").map(std::path::absolute).transpose()?;
        let given = |name: &str| given.as_ref().map(|directory| directory.join(name)).filter(|file| file.is_file());
        let missing: Vec<&str> = names().filter(|name| given(name).is_none()).collect();
        let built = if missing.is_empty() { PathBuf::new() } else { built(env, &missing)? };
        let path = |name: &str| given(name).unwrap_or_else(|| built.join(name));
        Ok(Self {
            etcd: path("etcd"),
            kube_apiserver: path("kube-apiserver"),
            kube_controller_manager: path("kube-controller-manager"),
            kubectl: path("kubectl"),
        })
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    CONTROL_PLANE.binaries.iter().map(|binary| binary.name)
}

fn built(env: Environment, missing: &[&str]) -> Result<PathBuf> {
    let directory = compile::build_once(&CONTROL_PLANE, &cache(env)?, env)?;
    if env("KUBEBUILDER_ASSETS").is_some() {
        say(&format!("KUBEBUILDER_ASSETS has no {}: taken from {}", missing.join(", "), directory.display()));
    }
    Ok(directory)
}

pub(crate) fn cache(env: Environment) -> Result<PathBuf> {
    let below = |name: &str, rest: &str| env(name).map(|directory| Path::new(&directory).join(rest));
    let cache = below("SNAPHOOK_CACHE", "")
        .or_else(|| below("XDG_CACHE_HOME", "snaphook"))
        .or_else(|| below("HOME", ".cache/snaphook"))
        .context("no place for a cache: set SNAPHOOK_CACHE, XDG_CACHE_HOME or HOME")?;
    Ok(std::path::absolute(cache)?)
}

/// Past the capture of test output, which takes only what the print macros write.
pub(crate) fn say(line: &str) {
    let _ = writeln!(stderr(), "control-plane: {line}"); // nobody to tell if this fails
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;

    fn made_of<'a>(variables: &'a [(&'a str, &'a Path)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_os_str().to_owned())
    }

    #[test]
    fn the_cache_is_the_most_specific_directory_that_is_set() {
        let (own, xdg, home) = (Path::new("/own"), Path::new("/xdg"), Path::new("/home/user"));
        let all = [("SNAPHOOK_CACHE", own), ("XDG_CACHE_HOME", xdg), ("HOME", home)];
        let at = |from: usize| cache(&made_of(&all[from..])).unwrap();
        assert_eq!(at(0), Path::new("/own"));
        assert_eq!(at(1), Path::new("/xdg/snaphook"));
        assert_eq!(at(2), Path::new("/home/user/.cache/snaphook"));
        assert!(cache(&made_of(&[])).is_err());
    }

    #[test]
    fn given_binaries_are_used_without_a_cache_or_go() {
        let scratch = Scratch::new().unwrap();
        for name in names() {
            fs::write(scratch.path().join(name), "").unwrap();
        }
        let found = Assets::find_in(&made_of(&[("KUBEBUILDER_ASSETS", scratch.path())])).unwrap();
        assert_eq!(found.kube_controller_manager, scratch.path().join("kube-controller-manager"));
        assert_eq!(found.etcd, scratch.path().join("etcd"));
        scratch.remove().unwrap();
    }

    #[test]
    fn what_envtest_does_not_ship_is_taken_from_the_cache() {
        let scratch = Scratch::new().unwrap();
        let (given, cache) = (scratch.path().join("envtest"), scratch.path().join("cache"));
        let built = compile::directory(&CONTROL_PLANE, &cache);
        fs::create_dir_all(&given).unwrap();
        fs::create_dir_all(&built).unwrap();
        for name in ["etcd", "kube-apiserver", "kubectl"] {
            fs::write(given.join(name), "").unwrap();
        }
        let found = Assets::find_in(&made_of(&[("KUBEBUILDER_ASSETS", &given), ("SNAPHOOK_CACHE", &cache)])).unwrap();
        assert_eq!(found.kubectl, given.join("kubectl"));
        assert_eq!(found.kube_controller_manager, built.join("kube-controller-manager"));
        scratch.remove().unwrap();
    }

    #[test]
    fn without_go_the_error_says_what_to_install_or_set() {
        let scratch = Scratch::new().unwrap();
        let error = Assets::find_in(&made_of(&[("SNAPHOOK_CACHE", scratch.path()), ("PATH", scratch.path())]));
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("Go 1.26") && error.contains("KUBEBUILDER_ASSETS"), "{error}");
        scratch.remove().unwrap();
    }
}
