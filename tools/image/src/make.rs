//! `cargo xtask image`: builds the enclave's image and says what it measures to.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use eif::{Image, Measurements};
use serde_json::json;

use crate::Recipe;
use crate::kernel::Kernel;
use crate::programs::{self, Programs};

/// The port on which the enclave listens for its parent.
pub(crate) const PORT: u32 = 5005;

/// How an image is made.
#[derive(Args)]
pub struct MakeArguments {
    /// The kernel, a bzImage; on Nitro take AWS's
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// A kernel module to load (AWS's nsm.ko, say); may be given more than once, in the order of loading
    #[arg(long, value_name = "FILE", requires = "kernel")]
    module: Vec<PathBuf>,
    /// Without --kernel: the Debian package whose kernel is taken: NAME, NAME=VERSION, or a .deb file
    #[arg(
        long,
        value_name = "PACKAGE",
        default_value = "linux-image-cloud-amd64",
        conflicts_with = "kernel"
    )]
    kernel_package: String,
    /// The kernel's command line
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "console=ttyS0 reboot=k panic=-1 random.trust_cpu=on"
    )]
    cmdline: String,
    /// Build the image twice, from copies of the sources in two directories, and compare
    #[arg(long)]
    check: bool,
    /// Where image and measurements are put
    #[arg(long, value_name = "DIR", default_value = "target/image")]
    pub(crate) out: PathBuf,
}

/// An image in its file.
pub(crate) struct Made {
    pub(crate) file: PathBuf,
    pub(crate) image: Image,
    pub(crate) measurements: Measurements,
}

/// Makes the image that attests by Nitro's module; `say` hears what was measured, as lines of JSON.
///
/// # Errors
/// When it can't be made, or two builds differ.
pub fn make(arguments: &MakeArguments, say: &dyn Fn(&str)) -> Result<()> {
    make_with(arguments, "nitro", say).map(drop)
}

/// Makes the image whose enclave has this security module.
pub(crate) fn make_with(
    arguments: &MakeArguments,
    security_module: &str,
    say: &dyn Fn(&str),
) -> Result<Made> {
    let kernel = match &arguments.kernel {
        Some(image) => Kernel::of_files(image, &arguments.module)?,
        None => Kernel::of_debian(&arguments.kernel_package)?,
    };
    let source = workspace()?;
    std::fs::create_dir_all(&arguments.out)?;
    let out = arguments.out.canonicalize()?;
    let programs = if arguments.check {
        build_twice(&source, &out)?
    } else {
        programs::build(&source, &out.join("build"))?
    };
    let image = Recipe {
        kernel: kernel.image,
        command_line: arguments.cmdline.clone(),
        modules: kernel.modules,
        init: programs.init,
        enclave: programs.enclave,
        arguments: ["--listen", &format!("vsock:any:{PORT}"), "--module", security_module]
            .map(str::to_owned)
            .to_vec(),
    }
    .image()?;
    let bytes = image.encode()?;
    // What is published is what the file that was written measures to.
    ensure!(Image::decode(&bytes)? == image, "the image is not read as it was written");
    let measurements = image.measurements();
    let file = out.join("cloakroom-enclave.eif");
    std::fs::write(&file, &bytes).with_context(|| format!("writing {}", file.display()))?;
    let described = describe(&measurements, &kernel.source)?;
    std::fs::write(out.join("measurements.json"), &described)?;
    say(&described);
    say(&format!("{}: {} bytes", file.display(), bytes.len()));
    Ok(Made { file, image, measurements })
}

/// Builds in two places that have nothing in common but the machine.
fn build_twice(source: &Path, out: &Path) -> Result<Programs> {
    let rooms = ["first", "the-second-one"].map(|name| out.join(name));
    // Both copies are taken before anything is built: somebody may be at work on the sources.
    for room in &rooms {
        if room.exists() {
            std::fs::remove_dir_all(room)?;
        }
        programs::copy_sources(source, &room.join("source"))?;
    }
    let [first, second] = rooms.map(|room| {
        let built = programs::build(&room.join("source"), &room.join("target"))?;
        std::fs::remove_dir_all(&room)?;
        anyhow::Ok(built)
    });
    let (first, second) = (first?, second?);
    for (name, first, second) in [
        ("cloakroom-init", &first.init, &second.init),
        ("cloakroom-enclave", &first.enclave, &second.enclave),
    ] {
        if first != second {
            std::fs::write(out.join(format!("{name}.first")), first)?;
            std::fs::write(out.join(format!("{name}.second")), second)?;
            bail!("two builds of {name} differ: see both in {}", out.display());
        }
    }
    Ok(first)
}

/// JSON: the measurements as `provider.json` has them, and what the image was made with.
fn describe(measurements: &Measurements, kernel: &str) -> Result<String> {
    let [rustc, cc] = programs::tools()?;
    let Measurements { pcr0, pcr1, pcr2 } = measurements;
    Ok(serde_json::to_string_pretty(&json!({
        "pcrs": {"0": hex::encode(pcr0), "1": hex::encode(pcr1), "2": hex::encode(pcr2)},
        "made_with": {"kernel": kernel, "rustc": rustc, "cc": cc},
    }))?)
}

fn workspace() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    Ok(metadata.workspace_root.into_std_path_buf().canonicalize()?)
}
