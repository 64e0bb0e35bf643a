//! `cloakroom attestation`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use coarse::{Clock, SystemClock, UnixTime};
use eif::Measurements;
use nitro::{Expectations, JsonReport, Pcr, Report};

use crate::arguments::{Attestation, Global, Verify};
use crate::output::{Failure, json, line};

/// The most that is read of a file: far more than any document or certificate has.
const LONGEST: u64 = 1 << 20;

pub(crate) fn run(global: &Global, command: Attestation) -> Result<(), Failure> {
    match command {
        Attestation::Verify(options) => verify(global, &options),
        Attestation::Measure { file } => measure(global, &file),
    }
}

fn measure(global: &Global, path: &Path) -> Result<(), Failure> {
    let unusable =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let file = std::fs::read(path).map_err(|error| unusable(&error))?;
    if file.starts_with(&eif::MAGIC) {
        let image = eif::Image::decode(&file).map_err(|error| unusable(&error))?;
        let Measurements { pcr0, pcr1, pcr2 } = image.measurements();
        let [pcr0, pcr1, pcr2] = [pcr0, pcr1, pcr2].map(hex::encode);
        if global.json {
            return json(&serde_json::json!({ "pcr0": pcr0, "pcr1": pcr1, "pcr2": pcr2 }));
        }
        line(format!("0={pcr0}\n1={pcr1}\n2={pcr2}"));
        return Ok(());
    }
    let pcr0 = hex::encode(nitro::extended(&file));
    if global.json {
        return json(&serde_json::json!({ "pcr0": pcr0 }));
    }
    line(pcr0);
    Ok(())
}

fn verify(global: &Global, options: &Verify) -> Result<(), Failure> {
    let document = read(&options.document)?;
    let root = nitro::root_from_pem_or_der(&read(&options.root)?)
        .map_err(|error| Failure::usage(format!("{}: {error}", options.root.display())))?;
    let at = options.at.map_or_else(|| SystemClock.now(), UnixTime::from_seconds);
    let report = nitro::examine(&document, &root, at, &expectations(options)?);
    if global.json {
        json(&JsonReport::from(&report))?;
    } else {
        show(&report);
    }
    if report.ok() { Ok(()) } else { Err(Failure::refused()) }
}

fn expectations(options: &Verify) -> Result<Expectations, Failure> {
    let bytes = |name: &str, text: &Option<String>| {
        text.as_ref().map(hex::decode).transpose().map_err(|_| {
            Failure::usage(format!("{name} takes an even number of hexadecimal digits"))
        })
    };
    Ok(Expectations {
        nonce: bytes("--nonce", &options.nonce)?,
        public_key: bytes("--public-key", &options.public_key)?,
        user_data: bytes("--user-data", &options.user_data)?,
        pcrs: options.pcrs.iter().map(|pcr| parse_pcr(pcr)).collect::<Result<_, _>>()?,
        max_age: options.max_age.map(Duration::from_secs),
        allow_debug: options.allow_debug,
    })
}

fn parse_pcr(text: &str) -> Result<(u8, Pcr), Failure> {
    let wrong =
        || Failure::usage("--pcr takes N=HEX: a register from 0 to 31 and 96 hexadecimal digits");
    let (index, value) = text.split_once('=').ok_or_else(wrong)?;
    let index = index.parse().ok().filter(|index| *index < 32).ok_or_else(wrong)?;
    let mut pcr = [0; 48];
    hex::decode_to_slice(value, &mut pcr).map_err(|_| wrong())?;
    Ok((index, pcr))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(bytes)
}

fn show(report: &Report) {
    for check in &report.checks {
        let mark = if check.ok { "✓" } else { "✗" };
        line(format_args!("{mark} {:<18} {}", check.name.to_string(), check.detail));
    }
    match &report.attestation {
        Some(attestation) => {
            line(format_args!("The document holds. Module {}.", attestation.module_id));
            for (index, pcr) in attestation.pcrs.iter().filter(|(_, pcr)| **pcr != [0; 48]) {
                line(format_args!("PCR{index:<2} {}", hex::encode(pcr)));
            }
        }
        None => line("The document is REFUSED."),
    }
}
