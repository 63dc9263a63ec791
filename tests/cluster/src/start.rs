//! What each program needs on this machine before it runs as its container would.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::Cluster;
use crate::compose::{Program, Service};
use crate::process::Process;

/// Where PostgreSQL's image keeps its data.
const POSTGRES_DATA: &str = "/var/lib/postgresql/data";
/// Where PostgreSQL's image looks for what runs once on an empty cluster.
const POSTGRES_INIT: &str = "/docker-entrypoint-initdb.d/";

pub(crate) fn log_file(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.folder().join("logs").join(format!("{name}.log"))
}

pub(crate) fn start(cluster: &Cluster, service: &Service, name: &str) -> anyhow::Result<Process> {
    let log = log_file(cluster, name);
    for folder in [log.parent().unwrap_or(Path::new(".")), &cluster.folder().join("volumes")] {
        std::fs::create_dir_all(folder)?;
    }
    for (from, _) in service.volumes.iter().filter(|(from, _)| !from.starts_with("./")) {
        std::fs::create_dir_all(cluster.volume(from))?;
    }
    let command = match service.program {
        Program::Daybook => daybook(cluster, service, name),
        Program::Nats => nats(cluster, service, name)?,
        Program::Postgres => postgres(cluster, service, name)?,
    };
    let environment: Vec<_> = environment(cluster, service, name).into_iter().collect();
    Process::start(command, &environment, cluster.bound, &log)
}

/// The environment as compose.yaml says, as it is on this machine, and the little that every process needs.
#[expect(clippy::disallowed_methods, reason = "programs are found by PATH, and write where they may")]
pub(crate) fn environment(cluster: &Cluster, service: &Service, name: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for key in ["PATH", "HOME", "TMPDIR"] {
        if let Ok(value) = std::env::var(key) {
            all.insert(key.to_owned(), value);
        }
    }
    for (key, value) in &service.environment {
        all.insert(key.clone(), rewrite(cluster, service, name, value));
    }
    if service.program == Program::Daybook {
        if is_alone(cluster) {
            all.insert("DAYBOOK_NATS__REPLICAS".into(), "1".into());
        }
        for (key, value) in &cluster.state.environment {
            all.insert(key.clone(), value.clone());
        }
    }
    all
}

fn rewrite(cluster: &Cluster, service: &Service, name: &str, text: &str) -> String {
    let folder = &cluster.compose.folder;
    cluster.state.places.rewrite(service, name, folder, text)
}

fn daybook(cluster: &Cluster, service: &Service, name: &str) -> Vec<String> {
    let mut command = vec![cluster.state.daybook.display().to_string()];
    command.extend(service.command.iter().map(|part| rewrite(cluster, service, name, part)));
    command
}

fn nats(cluster: &Cluster, service: &Service, name: &str) -> anyhow::Result<Vec<String>> {
    let file = service
        .volumes
        .iter()
        .find(|(_, to)| to.extension().is_some_and(|extension| extension == "conf"))
        .map(|(from, _)| cluster.volume(from))
        .context("no configuration is mounted")?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let text = if is_alone(cluster) { alone(&text) } else { text };
    let own = cluster.folder().join(format!("{name}.conf"));
    std::fs::write(&own, rewrite(cluster, service, name, &text))?;
    Ok(vec![servers::nats::program().display().to_string(), "-c".into(), own.display().to_string()])
}

/// Whether there is but one node of the broker, where compose.yaml has three.
fn is_alone(cluster: &Cluster) -> bool {
    let services = cluster.compose.services.values();
    let nodes = services.filter(|service| service.program == Program::Nats);
    nodes.count() == 1
}

/// A node's configuration without its part about other nodes: one alone would wait for them for ever.
fn alone(text: &str) -> String {
    let Some(from) = text.find("\ncluster {") else {
        return text.to_owned();
    };
    let to = text[from..].find("\n}").map_or(text.len(), |end| from + end + 2);
    format!("{}{}", &text[..from], &text[to..])
}

#[test]
fn a_node_alone_waits_for_no_other() {
    let text = "a: 1\n\ncluster {\n  routes: [x]\n}\nb: 2\n";
    assert_eq!(alone(text), "a: 1\n\nb: 2\n");
    assert_eq!(alone("a: 1\n"), "a: 1\n");
}

fn postgres(cluster: &Cluster, service: &Service, name: &str) -> anyhow::Result<Vec<String>> {
    let programs = servers::postgres::programs();
    let port = cluster.state.places.port(name, 5432).context("no port")?;
    let volume = service
        .volumes
        .iter()
        .find(|(_, to)| to == Path::new(POSTGRES_DATA))
        .map(|(from, _)| cluster.volume(from))
        .context("nothing is mounted for the data")?;
    let data = volume.join("data");
    let program = |name: &str| -> Vec<String> {
        let mut command = servers::postgres::as_server();
        command.push(programs.join(name).display().to_string());
        command
    };
    let made = data.join("PG_VERSION").exists();
    if !made {
        servers::postgres::own(&volume);
        let mut initdb = program("initdb");
        let user = service.environment.get("POSTGRES_USER").map_or("postgres", String::as_str);
        initdb.extend(["-D".into(), data.display().to_string(), format!("--username={user}")]);
        initdb.extend(["--auth=trust".into(), "--no-instructions".into()]);
        let arguments = service.environment.get("POSTGRES_INITDB_ARGS");
        initdb.extend(arguments.into_iter().flat_map(|all| all.split(' ').map(str::to_owned)));
        succeed(&initdb, &BTreeMap::new())?;
        once(cluster, service, name, &programs, &data, port)?;
    }
    // What a killed server leaves would keep this one off, if a process of that number happened to run.
    std::fs::remove_file(data.join("postmaster.pid")).ok();
    let mut command = servers::postgres::as_server();
    if let Some(late) = cluster.late {
        let wait = format!("sleep {}; exec \"$0\" \"$@\"", late.as_secs_f64());
        command.extend(["sh".into(), "-c".into(), wait]);
    }
    command.push(programs.join("postgres").display().to_string());
    command.extend(["-D".into(), data.display().to_string(), "-p".into(), port.to_string()]);
    command.extend(local(&data));
    command.extend(service.command.iter().skip(1).cloned());
    Ok(command)
}

fn local(data: &Path) -> Vec<String> {
    let sockets = format!("unix_socket_directories={}", data.display());
    vec!["-c".into(), "listen_addresses=127.0.0.1".into(), "-c".into(), sockets]
}

/// What the image does with an empty cluster: makes the database and runs what is mounted for that.
fn once(
    cluster: &Cluster,
    service: &Service,
    name: &str,
    programs: &Path,
    data: &Path,
    port: u16,
) -> anyhow::Result<()> {
    let mut environment = environment(cluster, service, name);
    let path = environment.remove("PATH").unwrap_or_default();
    environment.insert("PATH".into(), format!("{}:{path}", programs.display()));
    environment.insert("PGHOST".into(), "127.0.0.1".into());
    environment.insert("PGPORT".into(), port.to_string());
    let pg_ctl = |what: &str| {
        let mut command = servers::postgres::as_server();
        command.push(programs.join("pg_ctl").display().to_string());
        command.extend(["-D".into(), data.display().to_string(), "-w".into(), "-s".into()]);
        if what == "start" {
            command.extend(["-l".into(), data.join("init.log").display().to_string()]);
            command.extend(["-o".into(), format!("-p {port} {}", local(data).join(" "))]);
        }
        command.push(what.into());
        command
    };
    succeed(&pg_ctl("start"), &BTreeMap::new())?;
    let user = environment.get("POSTGRES_USER").cloned().unwrap_or_else(|| "postgres".into());
    let made = (|| {
        if let Some(database) = environment.get("POSTGRES_DB") {
            succeed(&["createdb".into(), "-U".into(), user, database.clone()], &environment)?;
        }
        for (from, to) in &service.volumes {
            if to.starts_with(POSTGRES_INIT) {
                let script = cluster.volume(from).display().to_string();
                succeed(&["sh".into(), script], &environment)?;
            }
        }
        Ok(())
    })();
    succeed(&pg_ctl("stop"), &BTreeMap::new())?;
    made
}

fn succeed(command: &[String], environment: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let output = Command::new(program)
        .args(arguments)
        .envs(environment)
        .current_dir("/")
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "{}: {}{}",
        command.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Asks as the health check of compose.yaml asks, without the tools that containers have for it.
pub(crate) fn is_ready(cluster: &Cluster, service: &Service, name: &str) -> bool {
    let port = |inside| cluster.state.places.port(name, inside).unwrap_or(0);
    match service.program {
        Program::Daybook => http_ok(port(8080), "/readyz"),
        Program::Nats => http_ok(port(8222), "/healthz"),
        Program::Postgres => {
            let database = service.environment.get("POSTGRES_DB").map_or("postgres", String::as_str);
            let mut ask = Command::new(servers::postgres::programs().join("psql"));
            ask.args(["-X", "-q", "-h", "127.0.0.1", "-U", "postgres", "-c", "SELECT 1"]).args([
                "-p",
                &port(5432).to_string(),
                "-d",
                database,
            ]);
            ask.output().is_ok_and(|output| output.status.success())
        }
    }
}

fn http_ok(port: u16, path: &str) -> bool {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    // A paused process takes the connection and never answers.
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.split(' ').nth(1) == Some("200")
}
