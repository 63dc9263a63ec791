//! Where everything is: a port of this machine for each port of each replica, a folder for each volume. Texts that name a service's
//! port or a mounted path are rewritten by it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Wire;
use crate::compose::{Compose, Program, Service};

/// Ports inside, by program: what other services and health checks may speak to.
const POSTGRES: &[u16] = &[5432];
const NATS: &[u16] = &[4222, 6222, 8222];
const DAYBOOK: &[u16] = &[8080];

/// Where everything is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Places {
    /// By replica: the port of this machine for each port inside.
    pub(crate) ports: BTreeMap<String, BTreeMap<u16, u16>>,
    /// The folder of everything.
    pub(crate) folder: PathBuf,
    /// By replica: the port where others find it, where something lies between.
    #[serde(default)]
    through: BTreeMap<String, u16>,
}

/// The name of a replica: that of its service where there is only one.
pub(crate) fn replica(service: &Service, number: usize) -> String {
    if service.replicas == 1 { service.name.clone() } else { format!("{}-{number}", service.name) }
}

/// The port of each inside port, for a program.
fn inside(program: Program) -> &'static [u16] {
    match program {
        Program::Postgres => POSTGRES,
        Program::Nats => NATS,
        Program::Daybook => DAYBOOK,
    }
}

impl Places {
    /// Finds a port for everything: the published one where `fixed`, a free one elsewhere.
    pub(crate) fn find(compose: &Compose, folder: &Path, fixed: bool) -> Self {
        let mut ports = BTreeMap::new();
        for service in compose.services.values() {
            for number in 1..=service.replicas {
                let own = inside(service.program).iter().map(|port| {
                    let published = service.published.get(port).filter(|_| fixed);
                    let outside = published.map_or_else(servers::free_port, |first| {
                        first.saturating_add(u16::try_from(number - 1).unwrap_or(0))
                    });
                    (*port, outside)
                });
                ports.insert(replica(service, number), own.collect());
            }
        }
        Self { ports, folder: folder.to_owned(), through: BTreeMap::new() }
    }

    /// Lays a wire before PostgreSQL.
    pub(crate) fn lay(&mut self, compose: &Compose, wire: Wire) {
        for service in compose.services.values().filter(|service| service.program == Program::Postgres) {
            let name = replica(service, 1);
            self.ports.insert(name.clone(), POSTGRES.iter().map(|inside| (*inside, wire.server)).collect());
            self.through.insert(name, wire.port);
        }
    }

    /// A text of a replica with names of services, own addresses and mounted paths as they are on this machine.
    pub(crate) fn rewrite(&self, service: &Service, replica: &str, project: &Path, text: &str) -> String {
        let mut text = text.to_owned();
        for (other, ports) in &self.ports {
            for (inside, outside) in ports {
                let outside = self.through.get(other).unwrap_or(outside);
                for before in ["//", "@"] {
                    let from = format!("{before}{other}:{inside}");
                    text = text.replace(&from, &format!("{before}127.0.0.1:{outside}"));
                }
            }
        }
        for (inside, outside) in self.ports.get(replica).into_iter().flatten() {
            for host in ["0.0.0.0", "127.0.0.1"] {
                let from = format!("{host}:{inside}");
                text = text.replace(&from, &format!("127.0.0.1:{outside}"));
            }
        }
        for (from, to) in &service.volumes {
            let there = self.volume(from, project);
            text = text.replace(&to.display().to_string(), &there.display().to_string());
        }
        text
    }

    /// Where a volume is: a file of the project, or a folder among ours.
    pub(crate) fn volume(&self, from: &str, project: &Path) -> PathBuf {
        match from.strip_prefix("./") {
            Some(file) => project.join(file),
            None => self.folder.join("volumes").join(from),
        }
    }

    /// The port of this machine of a replica's port.
    pub(crate) fn port(&self, replica: &str, inside: u16) -> Option<u16> {
        self.ports.get(replica)?.get(&inside).copied()
    }
}
