//! Complaints, and what is done to leases. Nobody here knows whose they are.

use clap::{Args, Subcommand};
use dip_api::operator::{
    CASES, Cases, Category, Complained, Complaint, LEASE_AT, LEASE_MARK, LeaseView, Mark, MarkLease,
};
use lease::{ExitAddress, Notice, NoticeText, Reference};
use operating::{Asker, Table, print, say};

use super::Connection;

#[derive(Subcommand)]
pub(crate) enum LeaseCommand {
    /// Shows the lease of an address.
    Show {
        /// The address.
        address: ExitAddress,
        #[command(flatten)]
        connection: Connection,
    },
    /// Freezes the lease of an address: it gets no new tokens, so that its tunnels end within three days, and its holder reads why.
    Freeze {
        #[command(flatten)]
        case: CaseArguments,
        #[command(flatten)]
        notice: NoticeArguments,
    },
    /// Ends a freeze, and takes back what its holder was told.
    Thaw {
        #[command(flatten)]
        case: CaseArguments,
    },
    /// Has the holder of an address told something at each refresh, until it is taken back with `thaw`.
    Notify {
        #[command(flatten)]
        case: CaseArguments,
        #[command(flatten)]
        notice: NoticeArguments,
    },
}

#[derive(Args)]
pub(crate) struct CaseArguments {
    /// The address.
    address: ExitAddress,
    /// What it is about, for the transparency report: spam, scanning, brute-force, denial-of-service, malware, copyright, authority or other.
    #[arg(long, value_name = "CATEGORY", default_value = "other")]
    category: Category,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
pub(crate) struct NoticeArguments {
    /// Your name for the case: the holder tells it to support. 32 letters, digits, dots, hyphens and slashes at most.
    #[arg(long, value_name = "NAME")]
    reference: Reference,
    /// What the holder reads: 400 bytes at most.
    #[arg(long, value_name = "TEXT")]
    text: NoticeText,
}

impl NoticeArguments {
    fn notice(self) -> Notice {
        Notice { reference: self.reference, text: self.text }
    }
}

impl LeaseCommand {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let (case, mark) = match self {
            Self::Show { address, connection } => {
                let path = format!("{LEASE_AT}?address={address}");
                let view: LeaseView = connection.get(asker, &path).await?;
                return show(&view, &connection);
            }
            Self::Freeze { case, notice } => (case, Mark::Freeze(notice.notice())),
            Self::Thaw { case } => (case, Mark::Thaw),
            Self::Notify { case, notice } => (case, Mark::Notice(notice.notice())),
        };
        let CaseArguments { address, category, connection } = case;
        let mark = MarkLease { address, mark, category };
        let view: LeaseView = connection.post(asker, LEASE_MARK, &mark).await?;
        show(&view, &connection)
    }
}

fn show(view: &LeaseView, connection: &Connection) -> anyhow::Result<()> {
    if connection.json {
        return print(view, true);
    }
    let frozen = if view.frozen { ", frozen" } else { "" };
    say(&format!("{}  {}{frozen}, until {}", view.address, view.state, view.until_week))?;
    match &view.notice {
        Some(Notice { reference, text }) => say(&format!("its holder reads: {text} ({reference})")),
        None => Ok(()),
    }
}

/// `complaint`
#[derive(Args)]
pub(crate) struct ComplaintArguments {
    #[command(flatten)]
    case: CaseArguments,
}

impl ComplaintArguments {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let CaseArguments { address, category, connection } = self.case;
        let complained: Complained =
            connection.post(asker, CASES, &Complaint { address, category }).await?;
        match complained.lease {
            _ if connection.json => print(&complained, true),
            Some(view) => show(&view, &connection),
            None => say("counted; nobody has this address"),
        }
    }
}

/// `report`
#[derive(Args)]
pub(crate) struct ReportArguments {
    #[command(flatten)]
    connection: Connection,
}

impl ReportArguments {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let cases: Cases = self.connection.get(asker, CASES).await?;
        if self.connection.json {
            return print(&cases, true);
        }
        let mut table = Table::new(&["week", "act", "category", "count"]);
        for case in &cases.cases {
            table.row([
                case.week.to_string(),
                case.act.to_string(),
                case.category.to_string(),
                case.count.to_string(),
            ]);
        }
        say(&table.text())
    }
}
