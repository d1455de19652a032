//! Discovery and reading on a real disk.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A folder with these files in it.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files {
        let full = folder.path().join(path);
        fs::create_dir_all(full.parent().expect("has a parent")).expect("folders");
        fs::write(full, text).expect("written");
    }
    folder
}

fn plans(root: &Path, paths: &[&str], options: Options) -> (Vec<Plan>, Vec<Problem>) {
    let mut problems = Vec::new();
    let options = Options {
        cwd: root.to_owned(),
        ..options
    };
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    (plan(&paths, &options, &mut problems), problems)
}

fn loaded(root: &Path, paths: &[&str]) -> (Project, Vec<Problem>) {
    let (mut plans, mut problems) = plans(root, paths, Options::default());
    assert_eq!(plans.len(), 1, "{plans:?}");
    let options = Options {
        cwd: root.to_owned(),
        ..Options::default()
    };
    let project = load(plans.remove(0), &options, &mut problems);
    (project, problems)
}

fn paths(project: &Project) -> Vec<&str> {
    project
        .sources
        .iter()
        .map(|source| source.path.as_str())
        .collect()
}

fn sorted(plan: &Plan) -> Vec<String> {
    let mut paths: Vec<_> = plan.files.iter().map(|file| file.path.clone()).collect();
    paths.sort();
    paths
}

const NGINX: &str = "server {\n    listen 80;\n}\n";

#[test]
fn gitignored_files_are_left_out_and_hidden_ones_found() {
    let folder = tree(&[
        (".gitignore", "build/\n"),
        ("build/nginx.conf", NGINX),
        ("deploy/.caddy", ":80\n"),
        ("deploy/site.conf", NGINX),
        ("deploy/logrotate.conf", "/var/log/x {\n daily\n}\n"),
        (".git/nginx.conf", NGINX),
    ]);
    let (project, problems) = loaded(folder.path(), &["."]);
    assert_eq!(paths(&project), ["deploy/.caddy", "deploy/site.conf"]);
    assert!(problems.is_empty());
}

#[test]
fn a_given_file_is_reported_on_and_its_surroundings_are_known() {
    let folder = tree(&[
        (".git/HEAD", ""),
        ("deploy/nginx.conf", "http { include snippets/ws.conf; }\n"),
        (
            "deploy/snippets/ws.conf",
            "proxy_set_header Upgrade $http_upgrade;\n",
        ),
    ]);
    let (plans, _) = plans(
        folder.path(),
        &["deploy/snippets/ws.conf"],
        Options::default(),
    );
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].root, folder.path());
    let only = plans[0].only.as_ref().expect("a filter");
    assert_eq!(only.iter().collect::<Vec<_>>(), ["deploy/snippets/ws.conf"]);
    let (project, _) = loaded(folder.path(), &["deploy/snippets/ws.conf"]);
    assert!(project.by_path("deploy/nginx.conf").is_some());
}

#[test]
fn a_folder_with_a_configuration_is_a_project_within_the_project() {
    let folder = tree(&[
        ("nginx.conf", NGINX),
        ("a/wslint.toml", "exclude = [\"old\"]\n"),
        ("a/nginx.conf", NGINX),
        ("a/old/nginx.conf", NGINX),
    ]);
    let (plans, problems) = plans(folder.path(), &["."], Options::default());
    assert!(problems.is_empty(), "{problems:?}");
    let files: Vec<_> = plans
        .iter()
        .map(|plan| {
            (
                plan.root.strip_prefix(folder.path()).expect("below"),
                sorted(plan),
            )
        })
        .collect();
    assert_eq!(files[0], (Path::new(""), vec!["nginx.conf".to_owned()]));
    assert_eq!(files[1].0, Path::new("a"));
    assert_eq!(files[1].1, ["nginx.conf", "wslint.toml"]);
}

#[test]
fn a_configuration_above_the_given_folder_counts_and_its_globs_are_relative_to_it() {
    let folder = tree(&[
        ("wslint.toml", "exclude = [\"a/old/**\"]\n"),
        ("a/nginx.conf", NGINX),
        ("a/old/nginx.conf", NGINX),
    ]);
    let (project, _) = loaded(folder.path(), &["a"]);
    let nginx: Vec<_> = project
        .of_kind(Kind::Nginx)
        .map(|source| source.display.as_str())
        .collect();
    assert_eq!(nginx, ["a/nginx.conf"]);
}

#[test]
fn globs_of_the_command_line_are_relative_to_the_working_directory() {
    let folder = tree(&[
        (".git/HEAD", ""),
        ("a/nginx.conf", NGINX),
        ("a/old/nginx.conf", NGINX),
    ]);
    for (cwd, given, exclude) in [
        ("", "a", "a/old/**"),
        ("a", ".", "old"),
        ("a", "nginx.conf", "old/nginx.conf"),
    ] {
        let options = Options {
            cwd: folder.path().join(cwd),
            exclude: vec![exclude.to_owned()],
            ..Options::default()
        };
        let mut problems = Vec::new();
        let mut plans = plan(&[PathBuf::from(given)], &options, &mut problems);
        let project = load(plans.remove(0), &options, &mut problems);
        assert_eq!(
            project.sources.len(),
            1,
            "{exclude} from {cwd:?}: {:?}",
            paths(&project)
        );
    }
}

#[test]
fn what_is_missing_or_misconfigured_is_named_and_the_rest_goes_on() {
    let folder = tree(&[
        ("good/nginx.conf", NGINX),
        ("bad/wslint.toml", "\n[edge]\nkind = \"alc\"\n"),
        ("bad/nginx.conf", NGINX),
    ]);
    let (plans, problems) = plans(
        folder.path(),
        &["good", "bad", "missing"],
        Options::default(),
    );
    assert_eq!(plans.len(), 1);
    let messages: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 2);
    assert!(
        messages
            .iter()
            .any(|message| message.starts_with("missing: ")),
        "{messages:?}"
    );
    let config = messages
        .iter()
        .find(|message| message.starts_with("bad/wslint.toml:3:8: "));
    assert!(
        config.is_some_and(|message| message.ends_with("did you mean `alb`?")),
        "{messages:?}"
    );
}

#[test]
fn odd_bytes_keep_their_offsets_and_are_noted() {
    let folder = tree(&[]);
    fs::write(
        folder.path().join("nginx.conf"),
        b"# caf\xe9\nserver { listen 80; }\0\n",
    )
    .expect("written");
    let (project, _) = loaded(folder.path(), &["."]);
    let source = &project.sources[0];
    assert_eq!(source.text, "# caf?\nserver { listen 80; }?\n");
    assert_eq!(project.undecided.len(), 1);
}

#[test]
fn utf16_is_told_and_a_byte_order_mark_hides_nothing() {
    let folder = tree(&[("b.conf", "\u{feff}server { listen 80; }\n")]);
    let utf16: Vec<u8> = [0xfeff]
        .into_iter()
        .chain(NGINX.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(folder.path().join("a.conf"), utf16).expect("written");
    let (project, _) = loaded(folder.path(), &["."]);
    assert_eq!(paths(&project), ["a.conf", "b.conf"]);
    assert_eq!(project.undecided.len(), 1);
    assert!(
        project.undecided[0].message.starts_with("UTF-16"),
        "{:?}",
        project.undecided
    );
}

#[test]
fn installed_packages_are_no_part_of_a_project() {
    let folder = tree(&[
        ("shop/settings.py", "ALLOWED_HOSTS = ['a']\n"),
        (
            "venv/lib/python3.12/site-packages/django/conf/global_settings.py",
            "ALLOWED_HOSTS = []\n",
        ),
    ]);
    let (project, _) = loaded(folder.path(), &["."]);
    assert_eq!(paths(&project), ["shop/settings.py"]);
}

#[test]
fn utf16_is_read_where_pip_reads_it() {
    let folder = tree(&[("a.conf", NGINX)]);
    let utf16: Vec<u8> = "\u{feff}channels==4.2.0\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(folder.path().join("requirements.txt"), utf16).expect("written");
    let (project, _) = loaded(folder.path(), &["."]);
    let requirements = project.by_path("requirements.txt").expect("read");
    assert_eq!(requirements.text.trim(), "channels==4.2.0");
    assert!(project.undecided.is_empty(), "{:?}", project.undecided);
}

#[cfg(unix)]
#[test]
fn a_link_loop_and_a_folder_named_like_a_file_do_no_harm() {
    let folder = tree(&[("nginx.conf/site.conf", NGINX)]);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).expect("linked");
    std::os::unix::fs::symlink("b.conf", folder.path().join("a.conf")).expect("linked");
    std::os::unix::fs::symlink("a.conf", folder.path().join("b.conf")).expect("linked");
    let (project, problems) = loaded(folder.path(), &["."]);
    assert_eq!(
        paths(&project),
        ["a.conf", "b.conf", "nginx.conf/site.conf"]
    );
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(project.undecided.len(), 2, "the two links are noted");
}

#[test]
fn stdin_stands_for_a_file_that_need_not_exist() {
    stands_for_a_file_to_be(&[("wslint.toml", "")]);
    stands_for_a_file_to_be(&[("README", "")]);
}

fn stands_for_a_file_to_be(files: &[(&str, &str)]) {
    let folder = tree(files);
    let options = Options {
        cwd: folder.path().to_owned(),
        stdin: Some((PathBuf::from("new/nginx.conf"), NGINX.into())),
        ..Options::default()
    };
    let mut problems = Vec::new();
    let mut plans = plan(&[PathBuf::from("new/nginx.conf")], &options, &mut problems);
    let project = load(plans.remove(0), &options, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(
        project
            .by_path("new/nginx.conf")
            .map(|source| source.text.as_str()),
        Some(NGINX)
    );
}
