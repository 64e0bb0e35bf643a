//! What the people do who run a town: sign its file, fill its pool, make accounts, help customers.

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA384, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Addresses, ISSUER_NAME, ORIGIN, REGION, Town, as_text, run};

impl Town {
    /// Makes an account with a subscription: its number and the subscription's id.
    ///
    /// # Errors
    /// When accounts doesn't make one.
    pub fn make_account(&self) -> Result<(String, String)> {
        let url = self.url("accounts")?;
        let made: Value = self.ask_json(
            "accounts",
            &[
                "account",
                "create",
                "--entitlement",
                "vpn.dip",
                "--entitlement",
                "vpn.access",
                "--url",
                &url,
                "--json",
            ],
        )?;
        let text = |name| crate::demo::process::text(&made, &[name]).map(str::to_owned);
        Ok((text("account")?, text("subscription")?))
    }

    /// Has support do something to a subscription: `refund` it, or `reset` it.
    ///
    /// # Errors
    /// When it fails.
    pub fn support(&self, what: &str, subscription: &str) -> Result<()> {
        let url = self.url("accounts")?;
        self.ask("accounts", &["subscription", what, subscription, "--url", &url])?;
        Ok(())
    }

    /// Runs a service's program for one command, and gives what it prints.
    ///
    /// # Errors
    /// When it fails; what it says.
    pub fn ask(&self, service: &str, arguments: &[&str]) -> Result<String> {
        let state = self.state(service);
        let mut all = vec!["--state", as_text(&state)?];
        all.extend(arguments);
        run(&self.binaries.service(service, false), all, "")
    }

    pub(crate) fn ask_json<T: serde::de::DeserializeOwned>(
        &self,
        service: &str,
        arguments: &[&str],
    ) -> Result<T> {
        serde_json::from_str(&self.ask(service, arguments)?)
            .with_context(|| format!("{service} {}", arguments.join(" ")))
    }

    pub(super) fn trees(&self) -> Result<Vec<Value>> {
        self.ask_json("issuer", &["trees", "--json"])
    }

    /// Writes and signs `provider.json`, which names enclaves with each of these boot configurations. PCR0 is computed here from the
    /// enclave's file, not taken from the module.
    ///
    /// # Errors
    /// When a program fails.
    pub fn sign_provider(&self, serial: u64, boots: &[&str]) -> Result<()> {
        let trees = self.trees()?;
        let root = std::fs::read(self.zone.root.join("nsm/state/root.der"))?;
        let enclave = std::fs::read(self.binaries.service("enclave", self.zone.tapped))?;
        let measured = [&[0; 48][..], digest(&SHA384, &enclave).as_ref()].concat();
        let mut enclaves = boots.iter().map(|boot| {
            json!({
                "root": STANDARD.encode(&root),
                "pcrs": {"0": hex::encode(digest(&SHA384, &measured))},
                "boot_configuration": boot,
            })
        });
        let Addresses { accounts, issuer, parent, dip, backup, .. } = &self.doors;
        let draft = json!({
            "name": "Cloakroom demo",
            "urls": {
                "accounts": format!("http://{accounts}"),
                "blind_token_service": format!("http://{issuer}"),
                "enclave": format!("http://{parent}"),
                "dip_service": format!("http://{dip}"),
                "backup": format!("http://{backup}"),
            },
            "issuer_name": ISSUER_NAME,
            "origin": ORIGIN,
            "trees": trees,
            "enclave": enclaves.next().context("an enclave needs a boot configuration")?,
            "other_enclaves": enclaves.collect::<Vec<_>>(),
            "update": {
                "serial": serial,
                "url": format!("http://{dip}/.well-known/cloakroom-provider.json"),
            },
            "identity_endpoints": [accounts.to_string(), issuer.to_string()],
        });
        self.write("provider-draft.json", &draft.to_string())?;
        let (draft, key, out) = (
            self.path("provider-draft.json")?,
            self.path("provider.key")?,
            self.path("provider.json")?,
        );
        run(
            &self.binaries.client(),
            ["provider", "sign", "--draft", &draft, "--key", &key, "--out", &out],
            "",
        )?;
        Ok(())
    }

    pub(super) fn fill_pool(&self) -> Result<()> {
        let key = self.ask("gateway", &["public-key"])?;
        let url = format!("http://{}", self.doors.gateway);
        let endpoint = self.addresses.tunnel.to_string();
        self.operate_dip(&["keys", "import", &self.path("epoch-keys.json")?])?;
        let named = ["gateway", "add", "--id", "demo", "--gateway-url", &url];
        let tunnel = ["--public-key", key.trim(), "--endpoint", &endpoint];
        self.operate_dip(&[&named[..], &tunnel].concat())?;
        let block = ["pool", "import", "--cidr", &self.pool];
        self.operate_dip(&[&block[..], &["--region", REGION, "--gateway", "demo"]].concat())?;
        Ok(())
    }

    /// Has an operator ask the running DIP service; what the command says.
    ///
    /// # Errors
    /// When it fails.
    pub fn operate_dip(&self, arguments: &[&str]) -> Result<String> {
        let url = format!("http://{}", self.addresses.dip);
        self.ask("dip", &[arguments, &["--url", &url]].concat())
    }
}
