//! An Access Code, what comes of it, and a backup.

use access_code::{AccessCode, BackupKeys, Contents};
use accounts_api::AccountSalt;
use coarse::Hour;
use dip_api::GatewayInfo;
use lease::TunnelEnd;
use serde_json::{Value, json};

use crate::Outcome;
use crate::sealed::Always;
use crate::signed::{self, ACCOUNTS, LEASE};

/// That of `testdata/access-code`.
const CODE: &str = "7K3QF-9XMRT-02ABC-DWQ2F";
const SALT: [u8; 16] = [0x11; 16];
const NONCE: u8 = 14;

pub(crate) fn examples() -> Outcome<Value> {
    let code = AccessCode::enter(CODE)?;
    let keys = BackupKeys::derive(&code, &AccountSalt::from_bytes(SALT))?;
    let drt = signed::drt()?;
    let contents = Contents {
        signer: signed::key(ACCOUNTS)?.verifying_key().id().clone(),
        lease: LEASE,
        region: signed::region()?,
        ip: signed::address()?,
        drt_ends: Hour::new(500_100),
        drt,
        gateway: GatewayInfo {
            url: "http://127.0.0.1:3006".into(),
            tunnel: TunnelEnd {
                public_key: signed::device(),
                endpoint: "[2001:db8::1]:51820".parse()?,
                inner_address: "100.64.0.2".parse()?,
                resolver: "100.64.0.1".parse()?,
            },
        },
    };
    let blob = keys.seal(&contents, &mut Always(NONCE))?;
    let (write, remove) = (keys.write(blob.clone()), keys.remove());
    Ok(json!({
        "access_code": CODE,
        "salt": hex::encode(SALT),
        "root": hex::encode(keys.root().expose()),
        "write_key": hex::encode(write.write_key.bytes()),
        "locator": hex::encode(keys.locator().bytes()),
        "contents": contents,
        "nonce": hex::encode([NONCE; 12]),
        "blob": hex::encode(blob.bytes()),
        "write_signature": hex::encode(write.signature.bytes()),
        "remove_signature": hex::encode(remove.signature.bytes()),
    }))
}
