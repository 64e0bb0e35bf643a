//! `cargo xtask image`: builds the enclave's image and says what it measures to.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use eif::{Image, Measurements};
use reproducible::{CLibrary, Order, Program, Tools, remove};
use serde::Serialize;
use serde_json::json;

use crate::Recipe;
use crate::kernel::Kernel;

/// The port on which the enclave listens for its parent.
pub(crate) const PORT: u32 = 5005;

/// What runs in the enclave. It has no C library beside it, so theirs is linked in.
fn programs() -> Order<2> {
    Order {
        programs: [
            Program { package: "init", name: "cloakroom-init" },
            Program { package: "enclave", name: "cloakroom-enclave" },
        ],
        target: "x86_64-unknown-linux-gnu".to_owned(),
        c_library: CLibrary::Static,
    }
}

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

/// Makes the image that attests by Nitro's module; `say` hears what was measured, as lines of JSON. Whether two builds, if two were
/// asked for, are the same; otherwise there is no image.
///
/// # Errors
/// When it can't be made.
pub fn make(arguments: &MakeArguments, say: &dyn Fn(&str)) -> Result<bool> {
    Ok(make_with(arguments, "nitro", say)?.is_some())
}

/// Makes the image whose enclave has this security module; nothing, if two builds differ.
pub(crate) fn make_with(
    arguments: &MakeArguments,
    security_module: &str,
    say: &dyn Fn(&str),
) -> Result<Option<Made>> {
    let kernel = match &arguments.kernel {
        Some(image) => Kernel::of_files(image, &arguments.module)?,
        None => Kernel::of_debian(&arguments.kernel_package)?,
    };
    let out = &arguments.out;
    let (file, description) = (out.join("cloakroom-enclave.eif"), out.join("measurements.json"));
    remove(&file)?;
    remove(&description)?;
    let order = programs();
    let built = if arguments.check { order.build_twice(out)? } else { order.build(out)? };
    for difference in &built.differences {
        say(&format!("{difference}: see both in {}", out.display()));
    }
    if !built.differences.is_empty() {
        return Ok(None);
    }
    let [init, enclave] = built.programs;
    let image = Recipe {
        kernel: kernel.image,
        command_line: arguments.cmdline.clone(),
        modules: kernel.modules,
        init,
        enclave,
        arguments: ["--listen", &format!("vsock:any:{PORT}"), "--module", security_module]
            .map(str::to_owned)
            .to_vec(),
    }
    .image()?;
    let bytes = image.encode()?;
    // What is published is what the file that was written measures to.
    ensure!(Image::decode(&bytes)? == image, "the image is not read as it was written");
    let measurements = image.measurements();
    std::fs::write(&file, &bytes).with_context(|| format!("writing {}", file.display()))?;
    let described = describe(&measurements, &kernel.source)?;
    std::fs::write(&description, &described)?;
    say(&described);
    say(&format!("{}: {} bytes", file.display(), bytes.len()));
    Ok(Some(Made { file, image, measurements }))
}

#[derive(Serialize)]
struct MadeWith<'a> {
    kernel: &'a str,
    #[serde(flatten)]
    tools: Tools,
}

/// JSON: the measurements as `provider.json` has them, and what the image was made with.
fn describe(measurements: &Measurements, kernel: &str) -> Result<String> {
    let Measurements { pcr0, pcr1, pcr2 } = measurements;
    Ok(serde_json::to_string_pretty(&json!({
        "pcrs": {"0": hex::encode(pcr0), "1": hex::encode(pcr1), "2": hex::encode(pcr2)},
        "made_with": MadeWith { kernel, tools: Tools::here()? },
    }))?)
}
