//! Configurations as trees of directives: written out, alone or many for one nginx, and cut down.

use std::fmt::Write;
use std::net::Ipv4Addr;

/// A directive, perhaps with a block.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) head: String,
    pub(crate) block: Option<Vec<Node>>,
}

pub(crate) fn line(head: impl Into<String>) -> Node {
    Node {
        head: head.into(),
        block: None,
    }
}

pub(crate) fn block(head: impl Into<String>, mut nodes: Vec<Node>) -> Node {
    // nginx refuses a second proxy_http_version at one level.
    let mut versions = 0;
    nodes.retain(|node| {
        let sets = node.head.contains("pair.conf") || node.head.starts_with("proxy_http_version");
        versions += u32::from(sets);
        !sets || versions == 1
    });
    Node {
        head: head.into(),
        block: Some(nodes),
    }
}

/// A configuration, with the URLs to open through it.
#[derive(Clone, Debug)]
pub(crate) struct Generated {
    pub(crate) seed: u64,
    /// What stands in `http` before the servers.
    pub(crate) outer: Vec<Node>,
    pub(crate) servers: Vec<Node>,
    pub(crate) urls: Vec<String>,
}

/// The files of one nginx for several configurations of one batch, `nginx.conf` first: each has an
/// address of its own to listen at.
pub(crate) fn together(batch: &[(Ipv4Addr, &Generated)]) -> Vec<(String, String)> {
    let mut main = "events {}\nhttp {\n".to_owned();
    if let [(_, first), ..] = batch {
        write_nodes(&first.outer, 1, &mut main);
    }
    for (address, generated) in batch {
        let mut servers = String::new();
        write_nodes(&listening(&generated.servers), 1, &mut servers);
        main += &servers.replace(" listen ", &format!(" listen {address}:"));
    }
    main += "}\n";
    let snippets = [
        (
            "snippets/pair.conf",
            "proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection \"upgrade\";\n",
        ),
        (
            "snippets/host.conf",
            "proxy_set_header Host $host;\nproxy_set_header X-Real-IP $remote_addr;\n",
        ),
    ];
    let mut files = vec![("nginx.conf".to_owned(), main)];
    files.extend(snippets.map(|(path, text)| (path.to_owned(), text.to_owned())));
    files
}

/// Servers that listen, each at ports that are written: one without would take port 80 of every
/// address, and no later configuration could listen there.
fn listening(servers: &[Node]) -> Vec<Node> {
    let mut servers = servers.to_vec();
    for server in servers.iter_mut().filter(|node| node.head == "server") {
        let inner = server.block.get_or_insert_default();
        if !inner.iter().any(|node| node.head.starts_with("listen ")) {
            inner.insert(0, line("listen 80"));
        }
    }
    servers
}

impl Generated {
    /// The files of this one alone, as its author would write them.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let mut files = together(&[(Ipv4Addr::UNSPECIFIED, self)]);
        files[0].1 = files[0].1.replace(" listen 0.0.0.0:", " listen ");
        files
    }

    /// For a person.
    pub(crate) fn text(&self) -> String {
        self.files().remove(0).1
    }

    /// The ports that it listens on.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let text = self.text();
        let listens = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("listen "));
        let ports = listens.filter_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        ports.collect()
    }

    /// The number of its directives.
    pub(crate) fn len(&self) -> usize {
        fn count(nodes: &[Node]) -> usize {
            let inner = |node: &Node| 1 + node.block.as_deref().map_or(0, count);
            nodes.iter().map(inner).sum()
        }
        count(&self.outer) + count(&self.servers)
    }

    /// The same without its directive number `at`.
    pub(crate) fn without(&self, mut at: usize) -> Self {
        fn remove(nodes: &mut Vec<Node>, at: &mut usize) -> bool {
            let mut index = 0;
            while index < nodes.len() {
                if *at == 0 {
                    nodes.remove(index);
                    return true;
                }
                *at -= 1;
                if let Some(inner) = &mut nodes[index].block
                    && remove(inner, at)
                {
                    return true;
                }
                index += 1;
            }
            false
        }
        let mut smaller = self.clone();
        if !remove(&mut smaller.outer, &mut at) {
            remove(&mut smaller.servers, &mut at);
        }
        smaller
    }
}

fn write_nodes(nodes: &[Node], depth: usize, text: &mut String) {
    let indent = "    ".repeat(depth);
    for node in nodes {
        match &node.block {
            None => {
                let _ = writeln!(text, "{indent}{};", node.head);
            }
            Some(inner) => {
                let _ = writeln!(text, "{indent}{} {{", node.head);
                write_nodes(inner, depth + 1, text);
                let _ = writeln!(text, "{indent}}}");
            }
        }
    }
}
