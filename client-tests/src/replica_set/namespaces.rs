//! Network namespaces, one for each node, whose cables end in a bridge that the clients are on, and rules that drop packets.
//!
//! ```text
//! clients 10.77.B.254 - bridge ottB - cable -> namespace ottB-1, 10.77.B.1
//!                                   - cable -> namespace ottB-2, 10.77.B.2 ...
//! ```
//!
//! Names hold the process id of the test: what a killed test process left behind, the next one removes. A dropped packet is
//! silent, as with a broken cable: connections stay open.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::id as process_id;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context as _, Result};

use crate::tools::{debian, missing, run};

/// The table of our rules in each namespace.
const TABLE: &str = "inet faults";
/// How the names of our bridges and namespaces begin.
const PREFIX: &str = "ott";

/// What happens to packets between a node and some others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None gets through, in either direction.
    Cut,
    /// None from the others reaches the node; what it sends gets through.
    Deaf,
    /// None of the node reaches the others; what they send gets through.
    Mute,
    /// So many in a hundred, which are fewer than that, are lost in each direction.
    Loss(u8),
}

/// The namespaces of one set. They are removed when this is dropped.
#[derive(Debug)]
pub struct Namespaces {
    bridge: String,
    subnet: u8,
    nodes: u8,
}

impl Namespaces {
    /// Makes them, or skips where that is not allowed.
    ///
    /// # Errors
    /// When it fails although this is root, or where `CI` is set.
    pub fn create(nodes: u8) -> Result<Option<Namespaces>> {
        if !rustix::process::getuid().is_root() {
            return missing("network namespaces", "only root may make them");
        }
        for (package, program, version) in [("iproute2", "ip", "-V"), ("nftables", "nft", "--version")] {
            if debian::install(package, program, version)?.is_none() {
                return Ok(None);
            }
        }
        remove_leftovers();
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let bridge = format!("{PREFIX}{}-{number}", process_id());
        let subnet = free_subnet(number)?;
        let namespaces = Namespaces { bridge, subnet, nodes };
        namespaces.connect().context("the namespaces cannot be made")?;
        Ok(Some(namespaces))
    }

    fn connect(&self) -> Result<()> {
        let bridge = &self.bridge;
        ip(&format!("link add name {bridge} type bridge"))?;
        ip(&format!("address add {}/24 dev {bridge}", self.host(254)))?;
        ip(&format!("link set {bridge} up"))?;
        for id in 1..=i32::from(self.nodes) {
            let namespace = self.name(id);
            let cable = self.cable(id);
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("link add {cable} type veth peer name eth0 netns {namespace}"))?;
            ip(&format!("link set {cable} master {bridge} up"))?;
            ip(&format!("-n {namespace} address add {}/24 dev eth0", self.host(id)))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            self.rules(id, &format!("add table {TABLE}"))?;
        }
        Ok(())
    }

    /// The address of a node.
    #[must_use]
    pub fn host(&self, id: i32) -> String {
        format!("10.77.{}.{id}", self.subnet)
    }

    /// The name of a node's namespace.
    #[must_use]
    pub fn name(&self, id: i32) -> String {
        format!("{}-{id}", self.bridge)
    }

    /// The end of a node's cable at the bridge; names of interfaces have 15 letters at most.
    fn cable(&self, id: i32) -> String {
        format!("{}.{id}", self.bridge)
    }

    /// Lets `fault` happen to packets between `node` and `others`, in place of what happened before.
    ///
    /// # Errors
    /// When the rules cannot be set.
    pub fn disturb(&self, node: i32, others: &[i32], fault: Fault) -> Result<()> {
        let hosts: Vec<String> = others.iter().map(|&other| self.host(other)).collect();
        self.apply(node, &format!("{{ {} }}", hosts.join(", ")), fault)
    }

    /// Cuts a node off from everything, clients included.
    ///
    /// # Errors
    /// When the rules cannot be set.
    pub fn unplug(&self, node: i32) -> Result<()> {
        self.apply(node, &format!("10.77.{}.0/24", self.subnet), Fault::Cut)
    }

    fn apply(&self, node: i32, hosts: &str, fault: Fault) -> Result<()> {
        let (hears, speaks, what) = match fault {
            Fault::Cut => (false, false, "drop".to_owned()),
            Fault::Deaf => (false, true, "drop".to_owned()),
            Fault::Mute => (true, false, "drop".to_owned()),
            Fault::Loss(percent) => (false, false, format!("numgen random mod 100 < {percent} drop")),
        };
        let mut script = format!("flush table {TABLE}\n");
        for (hook, address, is_whole) in [("input", "saddr", hears), ("output", "daddr", speaks)] {
            // A whole direction needs no rule, but a chain that may be there must stay valid.
            let rule = if is_whole {
                String::new()
            } else {
                format!("add rule {TABLE} {hook} ip {address} {hosts} {what}")
            };
            let chain = format!("add chain {TABLE} {hook} {{ type filter hook {hook} priority 0; }}");
            writeln!(script, "{chain}\n{rule}")?;
        }
        self.rules(node, &script)
    }

    /// Lets every packet of every node through again.
    ///
    /// # Errors
    /// When the rules cannot be removed.
    pub fn heal(&self) -> Result<()> {
        (1..=i32::from(self.nodes)).try_for_each(|id| self.rules(id, &format!("flush table {TABLE}")))
    }

    fn rules(&self, id: i32, script: &str) -> Result<()> {
        run("ip", ["netns", "exec", &self.name(id), "nft", script]).map(drop)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let ids = || 1..=i32::from(self.nodes);
        // The cables by themselves: a namespace takes its own along some time after it is gone.
        let cables = ids().map(|id| format!("link delete {}", self.cable(id)));
        let namespaces = ids().map(|id| format!("netns delete {}", self.name(id)));
        for command in cables.chain(namespaces).chain([format!("link delete {}", self.bridge)]) {
            if let Err(error) = ip(&command) {
                eprintln!("a part of the network stays: {error:#}");
            }
        }
    }
}

/// Runs `ip` with these words.
fn ip(arguments: &str) -> Result<()> {
    run("ip", arguments.split(' ')).map(drop)
}

/// A subnet that no other bridge has.
fn free_subnet(number: u8) -> Result<u8> {
    let addresses = String::from_utf8(run("ip", ["-o", "address"])?)?;
    let used = |subnet: &u8| addresses.contains(&format!(" 10.77.{subnet}."));
    // Beginning elsewhere in each process, since two may look at the same time.
    let first = u8::try_from(process_id() % 200)?.wrapping_add(number);
    (0..=u8::MAX)
        .map(|step| first.wrapping_add(step))
        .find(|subnet| !used(subnet))
        .context("no subnet is free")
}

/// Removes the namespaces and bridges of test processes that are gone.
fn remove_leftovers() {
    let Ok(listed) = run("ip", ["netns", "list"]).map(|listed| String::from_utf8_lossy(&listed).into_owned())
    else {
        return;
    };
    let mut bridges = BTreeSet::new();
    for name in listed.lines().filter_map(|line| line.split(' ').next()) {
        let Some((owner, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        if owner.parse::<u32>().is_ok() && !Path::new("/proc").join(owner).exists() {
            bridges.extend(name.rsplit_once('-').map(|(bridge, _)| bridge.to_owned()));
            report(&ip(&format!("netns delete {name}")));
        }
    }
    bridges.iter().for_each(|bridge| report(&ip(&format!("link delete {bridge}"))));
}

fn report(outcome: &Result<()>) {
    if let Err(error) = outcome {
        eprintln!("a part of an earlier test's network stays: {error:#}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::{Result, ensure};

    use super::{Fault, Namespaces};
    use crate::tools::run;
    use crate::wait::wait_until;

    const LISTEN: &str =
        "import socket; s = socket.create_server(('', 7777))\nwhile True: s.accept()[0].send(b'!')";
    const CONNECT: &str =
        "import socket, sys; sys.exit(socket.create_connection((sys.argv[1], 7777), 0.4).recv(1) != b'!')";
    /// The longest that a listener on a busy machine may take to be there, and to be reached where nothing is in the way.
    const LIMIT: Duration = Duration::from_secs(60);

    /// Whether a program in the namespace of `from` gets a byte soon from one in the namespace of `to`.
    fn reaches(namespaces: &Namespaces, from: i32, to: i32) -> bool {
        let (namespace, host) = (namespaces.name(from), namespaces.host(to));
        run("ip", ["netns", "exec", &namespace, "python3", "-c", CONNECT, &host]).is_ok()
    }

    fn expect_reached(namespaces: &Namespaces, from: i32, to: i32, what: &str) -> Result<()> {
        let what = format!("{from} reaches {to}: {what}");
        wait_until(LIMIT, &what, || Ok(reaches(namespaces, from, to)))
    }

    #[test]
    fn faults_part_the_nodes_that_they_name_and_heal() -> Result<()> {
        let Some(namespaces) = Namespaces::create(3)? else { return Ok(()) };
        let mut listeners = Vec::new();
        for id in 1..=3 {
            let mut listener = std::process::Command::new("ip");
            listener.args(["netns", "exec", &namespaces.name(id), "python3", "-c", LISTEN]);
            listeners.push(listener.spawn()?);
        }
        let outcome = (|| {
            for id in 1..=3 {
                expect_reached(&namespaces, id % 3 + 1, id, "the listener is there")?;
            }
            for fault in [Fault::Cut, Fault::Deaf, Fault::Mute, Fault::Loss(99)] {
                namespaces.disturb(1, &[2], fault)?;
                ensure!(!reaches(&namespaces, 2, 1), "2 reaches 1 in spite of {fault:?}");
                ensure!(!reaches(&namespaces, 1, 2), "1 reaches 2 in spite of {fault:?}");
                for (from, to) in [(3, 1), (1, 3)] {
                    expect_reached(&namespaces, from, to, &format!("{fault:?} is not about 3"))?;
                }
            }
            namespaces.unplug(1)?;
            ensure!(!reaches(&namespaces, 3, 1), "3 reaches 1, which is unplugged");
            namespaces.heal()?;
            expect_reached(&namespaces, 3, 1, "the fault is healed")?;
            expect_reached(&namespaces, 1, 2, "the fault is healed")
        })();
        for listener in &mut listeners {
            listener.kill()?;
            listener.wait()?;
        }
        outcome
    }
}
