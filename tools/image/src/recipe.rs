//! From the parts to an image.

use anyhow::{Result, ensure};
use eif::Image;
use serde_json::json;

use crate::cpio::Archive;
use crate::kernel;

/// Where the enclave's program is in an image.
const PROGRAM: &str = "cloakroom-enclave";
/// The console's device numbers.
const CONSOLE: (u32, u32) = (5, 1);
/// When every image was built.
const BUILT: &str = "1970-01-01T00:00:00Z";

/// What an image is made of.
#[derive(Clone)]
pub struct Recipe {
    /// A bzImage.
    pub kernel: Vec<u8>,
    /// The kernel's command line.
    pub command_line: String,
    /// Names and contents of kernel modules, in the order in which they are loaded.
    pub modules: Vec<(String, Vec<u8>)>,
    /// `cloakroom-init`.
    pub init: Vec<u8>,
    /// `cloakroom-enclave`.
    pub enclave: Vec<u8>,
    /// The enclave's arguments.
    pub arguments: Vec<String>,
}

impl Recipe {
    /// The image.
    ///
    /// # Errors
    /// For what no image can hold.
    pub fn image(&self) -> Result<Image> {
        Ok(Image {
            kernel: self.kernel.clone(),
            command_line: self.command_line.clone(),
            ramdisks: vec![self.boots()?, self.application()?],
            metadata: self.metadata(),
        })
    }

    fn boots(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        archive.directory("dev")?;
        archive.character_device("dev/console", CONSOLE)?;
        archive.directory("modules")?;
        ensure!(self.modules.len() <= 100, "modules have two digits to be put in order by");
        for (index, (name, module)) in self.modules.iter().enumerate() {
            ensure!(!name.contains('/'), "{name}: a module's name is no path");
            archive.file(&format!("modules/{index:02}-{name}"), 0o644, module)?;
        }
        archive.file("init", 0o755, &self.init)?;
        archive.finish()
    }

    fn application(&self) -> Result<Vec<u8>> {
        let mut command = format!("/{PROGRAM}\n");
        for argument in &self.arguments {
            ensure!(!argument.contains('\n'), "an argument is one line");
            command.push_str(argument);
            command.push('\n');
        }
        let mut archive = Archive::default();
        archive.file(PROGRAM, 0o755, &self.enclave)?;
        archive.file("command", 0o644, command.as_bytes())?;
        archive.finish()
    }

    /// As `nitro-cli describe-eif` shows it; it isn't measured.
    fn metadata(&self) -> Vec<u8> {
        let version = env!("CARGO_PKG_VERSION");
        json!({
            "ImageName": "cloakroom-enclave",
            "ImageVersion": version,
            "BuildMetadata": {
                "BuildTime": BUILT,
                "BuildTool": "cargo xtask image",
                "BuildToolVersion": version,
                "OperatingSystem": "Linux",
                "KernelVersion": kernel::version(&self.kernel).unwrap_or("unknown"),
            },
            "DockerInfo": {},
            "CustomMetadata": {},
        })
        .to_string()
        .into_bytes()
    }
}
