//! The chargeback trick, to the hour: ten subscriptions are paid, ten addresses got, nine payments taken back. After 72 hours nine
//! subscriptions renew nothing and the tenth renews its own address only; after six days nothing of the nine passes any more.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use endtoend::program::{Ran, User};
use endtoend::scene::{Scene, binaries};
use endtoend::{eventually, tunnel};
use lab::Town;

const HOUR: Duration = Duration::from_secs(3600);

fn rehearsing(town: &Town) -> Result<User> {
    User::new(town)?.who_rehearses(town).who_logs_in()
}

fn refused(ran: &Ran, because: &str) {
    assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{}", ran.err);
    assert!(ran.err.contains(because), "{}", ran.err);
}

/// Somebody with an address, and where the proxy of their open tunnel is.
struct Holder {
    user: User,
    ip: String,
    proxy: SocketAddr,
}

impl Holder {
    fn new(town: &Town) -> Result<Self> {
        let user = rehearsing(town)?;
        let leased = user.assign()?.json()?;
        let ip = leased.get("dedicated_ip").and_then(|ip| ip.as_str()).context("no address")?;
        let (ip, proxy) = (ip.to_owned(), user.connect()?);
        Ok(Self { user, ip, proxy })
    }

    fn refresh(&self) -> Result<Ran> {
        self.user.run(&["dip", "refresh"])
    }

    /// That their traffic leaves from their address.
    fn passes(&self, town: &Town) -> Result<()> {
        let seen = eventually(|| tunnel::seen(self.proxy, town.web_address()))?;
        ensure!(seen.to_string() == self.ip, "{seen} isn't {}", self.ip);
        Ok(())
    }
}

#[test]
fn nine_refunds_of_ten_leave_one_address() -> Result<()> {
    let scene = Scene::with(&binaries()?, true)?;
    let at = |hours: u32| scene.set_ahead(hours * HOUR);
    let holders = (0..10).map(|_| Holder::new(&scene)).collect::<Result<Vec<_>>>()?;
    let (kept, nine) = holders.split_last().context("nobody")?;
    nine.iter().try_for_each(|holder| scene.support("refund", &holder.user.subscription))?;

    // The last receipts are good for three days at most: with them everybody refreshes once more, as late as can be.
    at(70)?;
    for holder in &holders {
        holder.refresh()?.json()?;
    }
    // After 72 hours nine can't; nor has the tenth's subscription anything to do with their leases.
    at(73)?;
    for holder in nine {
        refused(&holder.refresh()?, "refunded");
        holder.user.run_with(&["account", "login"], &kept.user.account)?.json()?;
        refused(&holder.refresh()?, "not drawn by this subscription");
    }
    kept.refresh()?.json()?;
    for holder in &holders {
        holder.passes(&scene)?;
    }
    // What was refreshed at the last moment ends three days later. (The tenth refreshes as the daemon would.)
    at(120)?;
    kept.refresh()?.json()?;
    at(144)?;
    // Neither the tunnel that is open passes anything (one waits for it, which takes a while), nor is there another one.
    let first = nine.first().context("nobody")?;
    assert!(tunnel::seen(first.proxy, scene.web_address()).is_err());
    for holder in nine {
        holder.user.run(&["disconnect"])?.json()?;
        refused(&holder.user.run(&["connect", "--proxy", "127.0.0.1:0"])?, "expired");
    }
    kept.passes(&scene)
}
