//! An image as an archive that container engines load: a program, the libraries that it needs, and a user who is not root.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use control_plane::hex;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

/// As the Dockerfile has it, and as distroless images call their user `nonroot`.
const USER: &str = "65532:65532";
const PASSWD: &[u8] = b"root:x:0:0::/:/bin/sh\nnonroot:x:65532:65532::/:/bin/sh\n";
/// Where Debian keeps the certificates of public authorities.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const DIRECTORIES: [(&str, u32); 6] =
    [("tmp", 0o1777), ("etc", 0o755), ("var", 0o755), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755)];

/// An image that is about to be written.
pub(crate) struct Image {
    name: &'static str,
    entrypoint: Vec<&'static str>,
    /// Absolute path in the image, and the file on this machine.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Image {
    /// An image called `name` that runs `entrypoint`.
    pub(crate) fn new(name: &'static str, entrypoint: &[&'static str]) -> Self {
        let mut image = Self { name, entrypoint: entrypoint.to_vec(), files: Vec::new() };
        if Path::new(AUTHORITIES).is_file() {
            image.add(AUTHORITIES.into(), AUTHORITIES.into());
        }
        image
    }

    /// With a program of this machine at a path in the image, and its libraries where it looks for them.
    pub(crate) fn with(mut self, path: &str, program: &Path) -> Result<Self> {
        self.add(path.into(), program.to_owned());
        for library in libraries(program)? {
            self.add(library.clone(), library);
        }
        Ok(self)
    }

    fn add(&mut self, path: PathBuf, file: PathBuf) {
        if !self.files.iter().any(|(known, _)| *known == path) {
            self.files.push((path, file));
        }
    }

    /// Writes `directory/NAME.tar` in the format of `docker save`, and says where that is.
    pub(crate) fn write(&self, directory: &Path) -> Result<PathBuf> {
        let layer = self.layer()?;
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "User": USER, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))]},
            "history": [{"created_by": "snaphook's cluster for tests"}],
        });
        let config = config.to_string();
        let config_name = format!("{}.json", sha256(config.as_bytes()));
        let manifest: Value = json!([{"Config": config_name, "RepoTags": [self.name], "Layers": ["layer.tar"]}]);
        let path = directory.join(format!("{}.tar", self.name.replace(['/', ':'], "-")));
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut archive = Builder::new(BufWriter::new(file));
        append(&mut archive, "layer.tar", &layer, 0o644)?;
        append(&mut archive, &config_name, config.as_bytes(), 0o644)?;
        append(&mut archive, "manifest.json", manifest.to_string().as_bytes(), 0o644)?;
        archive.into_inner()?.flush()?;
        Ok(path)
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        for (name, mode) in DIRECTORIES {
            let mut header = header(0, mode);
            header.set_entry_type(EntryType::Directory);
            layer.append_data(&mut header, name, std::io::empty())?;
        }
        append(&mut layer, "etc/passwd", PASSWD, 0o644)?;
        for (path, file) in &self.files {
            let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            append(&mut layer, path.strip_prefix("/")?, &content, 0o755)?;
        }
        Ok(layer.into_inner()?)
    }
}

fn append(archive: &mut Builder<impl Write>, path: impl AsRef<Path>, content: &[u8], mode: u32) -> Result<()> {
    Ok(archive.append_data(&mut header(content.len().try_into()?, mode), path, content)?)
}

/// Without times and owners: the same files give the same image.
fn header(size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// The loader and the shared libraries of a program; none for one that is linked statically.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    let told = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(complaint.contains("not a dynamic executable"), "ldd {}: {complaint}", program.display());
        return Ok(Vec::new());
    }
    Ok(named_libraries(&told))
}

/// Lines are `NAME => PATH (ADDRESS)`, `PATH (ADDRESS)` for the loader, `NAME (ADDRESS)` for what the kernel brings, or say that
/// a program is linked statically.
fn named_libraries(told: &str) -> Vec<PathBuf> {
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    told.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn libraries_are_named_where_they_lie() {
        let told = "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        assert_eq!(
            named_libraries(told),
            [Path::new("/lib/x86_64-linux-gnu/libc.so.6"), Path::new("/lib64/ld-linux-x86-64.so.2")]
        );
        assert!(named_libraries("\tstatically linked\n").is_empty());
    }

    #[test]
    fn an_archive_names_its_config_and_layer_by_their_digests() {
        let directory = std::env::temp_dir();
        let program = std::env::current_exe().unwrap();
        let image = Image::new("example.test/own/program:1", &["/program"]).with("/program", &program).unwrap();
        let archive = image.write(&directory).unwrap();
        let mut files = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(File::open(&archive).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        std::fs::remove_file(archive).unwrap();
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "example.test/own/program:1");
        let config_name = manifest[0]["Config"].as_str().unwrap();
        let config = &files[config_name];
        assert_eq!(config_name, format!("{}.json", sha256(config)));
        let config: Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&files["layer.tar"])));
        let paths: Vec<String> = tar::Archive::new(&*files["layer.tar"])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        for wanted in ["program", "etc/passwd"] {
            assert!(paths.iter().any(|path| path == wanted), "{paths:?}");
        }
        assert!(paths.iter().any(|path| path.ends_with("libc.so.6")), "{paths:?}");
    }
}
