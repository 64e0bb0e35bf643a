//! `cloakroom device`.

use std::io::{IsTerminal, stdin};

use peer_key::Thumbprint;
use serde_json::{Value, json};
use session::{Error, InsideTunnel};

use crate::arguments::{Device, Global};
use crate::commands::{home, session};
use crate::control::{self, Request};
use crate::output::{Failure, json, line, note};

/// A list of devices, as the gateway gives it.
type Devices = gateway_api::Devices;

pub(crate) async fn run(global: &Global, command: Device) -> Result<(), Failure> {
    let gateway = open(global)?;
    match command {
        Device::List => {
            let devices = gateway.devices().await?;
            show(global, &devices, json!({ "devices": described(&devices) }))
        }
        Device::Remove { thumbprint, yes } => {
            if !yes && !confirmed(&gateway.devices().await?, thumbprint)? {
                return Err(Failure::usage("nothing was removed"));
            }
            let left = gateway.remove(thumbprint).await?;
            tell_of_removal(thumbprint, left.is_none());
            let devices = left.as_ref().map(described);
            let result = json!({ "removed": thumbprint, "devices": devices });
            show(global, left.as_ref().unwrap_or(&Devices { devices: vec![] }), result)
        }
        Device::Restore { thumbprint } => {
            let devices = gateway.restore(thumbprint).await?;
            note(
                "The gateway lets that device in again: have it give the command cloakroom connect.",
            );
            let result = json!({ "restored": thumbprint, "devices": described(&devices) });
            show(global, &devices, result)
        }
    }
}

/// The gateway, inside the tunnel that is open.
fn open(global: &Global) -> Result<InsideTunnel, Failure> {
    let status = control::ask(&home(global)?, Request::Status)?;
    let proxy = status.and_then(|status| status.proxy).and_then(|proxy| proxy.parse().ok());
    let proxy = proxy.ok_or(Error::NoTunnel)?;
    Ok(session(global)?.inside(proxy)?)
}

/// Asks whoever sits at the terminal.
fn confirmed(devices: &Devices, thumbprint: Thumbprint) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::usage("say --yes to remove a device without being asked"));
    }
    let this = devices.devices.iter().any(|device| device.this && device.device == thumbprint);
    note(if this {
        "This is the very device that you are using: its tunnel ends, and only another device of the address can take that back. \
         Remove it? Type yes:"
    } else {
        "Remove this device? Its tunnel ends at once. Type yes:"
    });
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(anyhow::Error::from)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

fn tell_of_removal(thumbprint: Thumbprint, this: bool) {
    note(format_args!(
        "Removed. Its tunnel has ended, and the gateway refuses its key for six days.\n\
         What that does not do: a lost device also holds your account number, with which whoever has it can come back under \
         another key.\n  Change the number: cloakroom account change-number\n  \
         What the device was given before is good for up to six days more, so look again: cloakroom device list"
    ));
    if this {
        note(
            "This was the device that you are using. Close what is left of its tunnel: cloakroom disconnect",
        );
    } else {
        note(format_args!("The wrong one? cloakroom device restore {thumbprint}"));
    }
}

fn described(devices: &Devices) -> Vec<Value> {
    let device = |device: &gateway_api::Device| {
        let ends = device.ends.to_string();
        json!({ "device": device.device, "ends": ends, "this": device.this })
    };
    devices.devices.iter().map(device).collect()
}

fn show(global: &Global, devices: &Devices, result: Value) -> Result<(), Failure> {
    if global.json {
        return json(&result);
    }
    if !devices.devices.is_empty() {
        line(format_args!("{:43}  {:14}", "device", "access until"));
    }
    for device in &devices.devices {
        let this = if device.this { "this device" } else { "" };
        let text = format!("{:43}  {:14}  {this}", device.device, device.ends.to_string());
        line(text.trim_end());
    }
    Ok(())
}
