//! What compose.yaml says, as far as processes can follow it. A key that nobody here knows the meaning of is passed over, for limits
//! and users are the containers' own; what is needed and missing is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_yaml_ng::Value;

/// The label of services that only containers need.
const CONTAINERS_ONLY: &str = "daybook.containers-only";

/// What a service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The product.
    Daybook,
    /// PostgreSQL.
    Postgres,
    /// nats-server.
    Nats,
}

/// When a service may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The other one says that it is ready.
    ServiceHealthy,
    /// The other one has ended well.
    ServiceCompletedSuccessfully,
    /// The other one runs.
    ServiceStarted,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub program: Program,
    /// Its arguments; for the servers, the program's name first.
    pub command: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// How many of it.
    pub replicas: usize,
    /// What it waits for.
    pub depends_on: BTreeMap<String, Condition>,
    /// Where its volumes are mounted: the named volume or the file of the project, and the path inside.
    pub volumes: Vec<(String, PathBuf)>,
    /// The first port of this machine that each of its ports is published at.
    pub published: BTreeMap<u16, u16>,
    /// Whether it ends by itself.
    pub once: bool,
}

/// The services of a file.
#[derive(Clone, Debug)]
pub struct Compose {
    /// The folder that paths in the file start from.
    pub folder: PathBuf,
    /// The services, by name.
    pub services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Raw {
    image: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    restart: Option<String>,
    #[serde(default)]
    deploy: Deploy,
}

#[derive(Deserialize)]
struct Dependency {
    condition: Condition,
}

#[derive(Default, Deserialize)]
struct Deploy {
    replicas: Option<usize>,
}

impl Compose {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is not one, a service lacks what it needs, or waits for one that is not there.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut file: Value =
            serde_yaml_ng::from_str(&interpolate(&text)?).with_context(|| format!("{} is no YAML", path.display()))?;
        file.apply_merge()?;
        let raw: BTreeMap<String, Raw> = serde_yaml_ng::from_value(file.get("services").cloned().unwrap_or_default())
            .with_context(|| format!("the services of {}", path.display()))?;
        let mut services = BTreeMap::new();
        for (name, raw) in raw {
            if raw.labels.get(CONTAINERS_ONLY).is_some_and(|only| only == "true") {
                continue;
            }
            let service = service(&name, raw).with_context(|| format!("the service {name}"))?;
            services.insert(name, service);
        }
        let names: Vec<String> = services.keys().cloned().collect();
        for service in services.values_mut() {
            service.depends_on.retain(|name, _| names.contains(name));
        }
        let folder = path.canonicalize()?;
        Ok(Self { folder: folder.parent().unwrap_or(Path::new(".")).to_owned(), services })
    }

    /// The services in an order in which each comes after what it waits for.
    ///
    /// # Errors
    /// If they wait for each other.
    pub fn in_order(&self) -> anyhow::Result<Vec<&Service>> {
        let mut order: Vec<&Service> = Vec::new();
        while order.len() < self.services.len() {
            let before = order.len();
            for service in self.services.values() {
                let placed = |name: &str| order.iter().any(|placed| placed.name == name);
                if !placed(&service.name) && service.depends_on.keys().all(|name| placed(name)) {
                    order.push(service);
                }
            }
            if order.len() == before {
                bail!("services wait for each other");
            }
        }
        Ok(order)
    }
}

fn service(name: &str, raw: Raw) -> anyhow::Result<Service> {
    let image = raw.image.split([':', '/']).next().unwrap_or_default();
    let program = match image {
        "daybook" => Program::Daybook,
        "postgres" => Program::Postgres,
        "nats" => Program::Nats,
        other => bail!("nobody knows how to run the image {other} as a process"),
    };
    let volumes = raw.volumes.iter().map(|volume| {
        let mut parts = volume.split(':');
        match (parts.next(), parts.next()) {
            (Some(from), Some(to)) => Ok((from.to_owned(), PathBuf::from(to))),
            _ => bail!("the volume {volume} is not FROM:TO"),
        }
    });
    let published = raw.ports.iter().map(|port| published(port));
    Ok(Service {
        name: name.to_owned(),
        program,
        command: raw.command,
        environment: raw.environment,
        replicas: raw.deploy.replicas.unwrap_or(1),
        depends_on: raw.depends_on.into_iter().map(|(name, dependency)| (name, dependency.condition)).collect(),
        volumes: volumes.collect::<anyhow::Result<_>>()?,
        published: published.collect::<anyhow::Result<_>>()?,
        once: raw.restart.as_deref() == Some("no"),
    })
}

/// `ADDRESS:FROM[-TO]:INSIDE`: the port inside and the first one outside. Anything but loopback is refused: there is no access control.
fn published(text: &str) -> anyhow::Result<(u16, u16)> {
    let parts: Vec<&str> = text.split(':').collect();
    let [address, outside, inside] = parts.as_slice() else {
        bail!("the port {text} is not ADDRESS:OUTSIDE:INSIDE");
    };
    if *address != "127.0.0.1" {
        bail!("the port {text} is published to other machines, and there is no access control");
    }
    let first = outside.split('-').next().unwrap_or_default();
    Ok((inside.parse()?, first.parse()?))
}

/// `${NAME:-default}` and `${NAME}` from the environment of this process, as compose does.
#[expect(clippy::disallowed_methods, reason = "the file says which variables it wants")]
fn interpolate(text: &str) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('}').context("a ${ without its }")? + at;
        let inside = &rest[at + 2..end];
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        out.push_str(value.as_deref().unwrap_or(default));
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    #[test]
    fn the_projects_own_file_is_read() {
        let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
        let shipped = Compose::read(&file("compose.yaml")).unwrap();
        assert_eq!((shipped.services["core"].replicas, shipped.services["core"].published[&8080]), (2, 8080));
        let compose = Compose::read(&file("deploy/compose.roles.yaml")).unwrap();
        let order: Vec<&str> = compose.in_order().unwrap().iter().map(|service| service.name.as_str()).collect();
        let place = |name: &str| order.iter().position(|other| *other == name).unwrap();
        assert!(place("postgres") < place("migrate"));
        assert!(place("migrate") < place("command-api"));
        let inventory = &compose.services["inventory"];
        assert_eq!(inventory.replicas, 2);
        assert_eq!(inventory.command, ["serve", "--roles", "inventory"]);
        assert!(inventory.environment["DAYBOOK_STORE__URL"].contains("daybook_app:daybook@postgres"));
        assert_eq!(compose.services["command-api"].published[&8080], 8080);
        assert!(compose.services["migrate"].once);
        assert!(!compose.services.contains_key("nats-folders"));
        let payments = &compose.services["payments"].environment;
        assert!(payments["DAYBOOK_NATS__URLS"].starts_with("nats://payments:daybook@nats-1:4222,"), "{payments:?}");
        let node = &compose.services["nats-2"].environment;
        assert_eq!((&*node["NATS_NAME"], &*node["NATS_RELAY_PASSWORD"]), ("nats-2", "daybook"));
        assert_eq!(node["NATS_ROUTE_3"], "nats://route:daybook@nats-3:6222");
    }

    #[test]
    fn a_port_for_other_machines_is_refused() {
        for port in ["8080:8080", "0.0.0.0:8080:8080"] {
            published(port).unwrap_err();
        }
        assert_eq!(published("127.0.0.1:8080-8081:8080").unwrap(), (8080, 8080));
    }
}
