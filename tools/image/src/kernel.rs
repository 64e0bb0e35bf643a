//! The image's kernel: files that are given, or those of a Debian package.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use reproducible::output;

/// The modules that a Debian kernel needs to have vsock and, where there is one, the security module; in the order of loading. Those
/// that need not be there are built into some kernels, or newer than others.
const MODULES: [(&str, Needed); 11] = [
    ("drivers/virtio/virtio_ring.ko", Needed::OrBuiltIn),
    ("drivers/virtio/virtio.ko", Needed::OrBuiltIn),
    ("drivers/virtio/virtio_pci_modern_dev.ko", Needed::OrBuiltIn),
    ("drivers/virtio/virtio_pci_legacy_dev.ko", Needed::OrBuiltIn),
    ("drivers/virtio/virtio_pci.ko", Needed::OrBuiltIn),
    ("drivers/virtio/virtio_mmio.ko", Needed::OrBuiltIn),
    ("net/vmw_vsock/vsock.ko", Needed::Always),
    ("net/vmw_vsock/vmw_vsock_virtio_transport_common.ko", Needed::Always),
    ("net/vmw_vsock/vmw_vsock_virtio_transport.ko", Needed::Always),
    ("drivers/char/hw_random/rng-core.ko", Needed::OrBuiltIn),
    ("drivers/misc/nsm.ko", Needed::OrBuiltIn),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Needed {
    Always,
    OrBuiltIn,
}

/// A kernel and the modules to load.
pub(crate) struct Kernel {
    pub(crate) image: Vec<u8>,
    pub(crate) modules: Vec<(String, Vec<u8>)>,
    /// Where it came from: a file's name, without its place, or NAME=VERSION of a Debian package.
    pub(crate) source: String,
}

impl Kernel {
    /// From these files.
    pub(crate) fn of_files(image: &Path, modules: &[PathBuf]) -> Result<Self> {
        let modules = modules.iter().map(|module| named(module)).collect::<Result<_>>()?;
        let (source, image) = named(image)?;
        Ok(Self { image, modules, source })
    }

    /// From a Debian package: a `.deb` file, or a name (also `NAME=VERSION`) that apt knows. A name that depends on the kernel's own
    /// package stands for that.
    pub(crate) fn of_debian(package: &str) -> Result<Self> {
        let room = tempfile::tempdir()?;
        let deb = if Path::new(package).extension().is_some_and(|suffix| suffix == "deb") {
            PathBuf::from(package)
        } else {
            download(package, room.path())?
        };
        let files = room.path().join("files");
        output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&files))?;
        let name_and_version = "--showformat=${Package}=${Version}";
        let source = output(Command::new("dpkg-deb").args(["--show", name_and_version]).arg(&deb))?;
        let image = only_entry(&files.join("boot"), "vmlinuz-")?;
        let modules = files.join("lib/modules");
        let modules =
            [files.join("usr/lib/modules"), modules].into_iter().find(|path| path.exists());
        let modules = only_entry(&modules.context("a kernel package without modules")?, "")?;
        let modules = debian_modules(&modules.join("kernel"))?;
        Ok(Self { image: read(&image)?, modules, source })
    }
}

/// The version that a bzImage says it has (Documentation/arch/x86/boot.rst of the kernel: `kernel_version`), up to the first space.
pub(crate) fn version(image: &[u8]) -> Option<&str> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset = u16::from_le_bytes(*image.get(0x20e..)?.first_chunk()?);
    let text = image.get(usize::from(offset) + 0x200..)?;
    let end = text.iter().position(|byte| *byte == 0 || *byte == b' ')?;
    std::str::from_utf8(text.get(..end)?).ok()
}

fn debian_modules(directory: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut modules = Vec::new();
    for (name, needed) in MODULES {
        let found = ["", ".xz"].map(|suffix| directory.join(format!("{name}{suffix}")));
        match found.iter().find(|path| path.exists()) {
            Some(path) => modules.push(named(path)?),
            None if needed == Needed::OrBuiltIn => {}
            None => bail!("the kernel has no {name}"),
        }
    }
    Ok(modules)
}

fn download(package: &str, room: &Path) -> Result<PathBuf> {
    let hint = "apt has no such package, or its lists are old: as root, run `apt-get update`";
    let show = ["show", "--no-all-versions", package];
    let shown = output(Command::new("apt-cache").args(show)).context(hint)?;
    // Asked for a version that it hasn't, apt-cache shows nothing, and doesn't complain.
    ensure!(!shown.is_empty(), "{package}: {hint}");
    let own = own_package(&shown).unwrap_or_else(|| package.to_owned());
    output(Command::new("apt-get").args(["download", &own]).current_dir(room)).context(hint)?;
    only_entry(room, "linux-image-")
}

/// The kernel's own package on which a package that is shown depends, as NAME=VERSION.
fn own_package(shown: &str) -> Option<String> {
    let mut depends = shown.lines().filter_map(|line| line.strip_prefix("Depends: "));
    let own = depends.next()?.split(", ").find(|one| one.starts_with("linux-image-"))?;
    let Some((name, version)) = own.split_once(" (= ") else { return Some(own.to_owned()) };
    Some(format!("{name}={}", version.trim_end_matches(')')))
}

/// The one entry whose name begins like this.
fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    ensure!(found.len() == 1, "{}: {} entries {prefix}*", directory.display(), found.len());
    found.pop().context("it was just there")
}

fn named(path: &Path) -> Result<(String, Vec<u8>)> {
    let name = path.file_name().with_context(|| format!("{} is no file", path.display()))?;
    Ok((name.to_string_lossy().into_owned(), read(path)?))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_version_is_read_from_its_header() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x315].copy_from_slice(b"6.1.0-1-cloud-amd64 (");
        assert_eq!(version(&image), Some("6.1.0-1-cloud-amd64"));
        image[0x20e..0x210].copy_from_slice(&0xffff_u16.to_le_bytes());
        assert_eq!(version(&image), None);
        assert_eq!(version(b"a stand-in"), None);
    }

    #[test]
    fn a_package_that_stands_for_a_kernel_names_its_version() {
        let own =
            |depends: &str| own_package(&format!("Package: any\nDepends: {depends}\nSize: 1"));
        let versioned = own("kmod, linux-image-6.1.0-1-amd64 (= 6.1.5-1), other (= 2)");
        assert_eq!(versioned.unwrap(), "linux-image-6.1.0-1-amd64=6.1.5-1");
        assert_eq!(own("linux-image-6.1.0-1-amd64").unwrap(), "linux-image-6.1.0-1-amd64");
        assert_eq!(own("kmod, linux-base (>= 4.3~)"), None);
        assert_eq!(own_package("Package: any\nSize: 1"), None);
    }

    #[test]
    fn modules_come_in_their_order_compressed_or_not() {
        let room = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = room.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        put("net/vmw_vsock/vmw_vsock_virtio_transport.ko.xz");
        put("net/vmw_vsock/vmw_vsock_virtio_transport_common.ko");
        assert!(debian_modules(room.path()).is_err());
        put("net/vmw_vsock/vsock.ko.xz");
        put("drivers/misc/nsm.ko.xz");
        put("drivers/virtio/virtio.ko");
        let names: Vec<_> =
            debian_modules(room.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        let expected = [
            "virtio.ko",
            "vsock.ko.xz",
            "vmw_vsock_virtio_transport_common.ko",
            "vmw_vsock_virtio_transport.ko.xz",
            "nsm.ko.xz",
        ];
        assert_eq!(names, expected);
    }
}
