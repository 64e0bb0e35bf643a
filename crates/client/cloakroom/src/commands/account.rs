//! `cloakroom account`.

use serde_json::json;

use crate::arguments::{Account, Global};
use crate::commands::{input, session};
use crate::output::{Failure, json, line, note};

pub(crate) async fn run(global: &Global, command: Account) -> Result<(), Failure> {
    let mut session = session(global)?;
    if matches!(command, Account::Login) {
        let number = input::secret("Account number (24 digits):")?
            .parse()
            .map_err(|error: accounts_api::ParseError| Failure::usage(error.to_string()))?;
        session.log_in(number).await?;
    }
    if matches!(command, Account::ChangeNumber) {
        let number = session.change_number().await?;
        if global.json {
            return json(&json!({ "account": number.to_text().as_str() }));
        }
        line(format_args!("The account's number is now {}", number.grouped().as_str()));
        note(
            "Write it down: nobody can tell it to you again. Other devices of yours need it at their next login.",
        );
        note(
            "Receipts under the former number end within three days, access tokens three days after that.",
        );
        return Ok(());
    }
    let wallet = session.wallet();
    let ends = wallet.srt.as_ref().map(|held| held.ends.to_string());
    if global.json {
        return json(&json!({ "account": wallet.account.is_some(), "srt_ends": ends }));
    }
    line(if wallet.account.is_some() { "An account is set." } else { "No account is set." });
    if let Some(ends) = ends {
        line(format_args!("Its subscription receipt is good until {ends}."));
    }
    Ok(())
}
