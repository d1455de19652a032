//! Tests of the server commands.

use super::*;
use crate::source::{Kind, SourceId};

fn source(path: &str, text: &str) -> Source {
    Source::new(
        SourceId(0),
        path.into(),
        path.into(),
        Kind::Command,
        text.into(),
        None,
    )
}

fn only(path: &str, text: &str) -> Command {
    let found = commands(&source(path, text));
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn commands_are_found_in_every_format() {
    for (path, text, program, target) in [
        (
            "Procfile",
            "web: gunicorn proj.wsgi --log-file - # x\n",
            Program::Gunicorn,
            "proj.wsgi",
        ),
        (
            "Procfile",
            "web: daphne -b 0.0.0.0 -p $PORT proj.asgi:application\n",
            Program::Daphne,
            "proj.asgi:application",
        ),
        (
            "Dockerfile",
            "RUN pip install gunicorn\nCMD [\"gunicorn\", \"--bind\", \"0.0.0.0:80\", \"proj.wsgi:application\"]\n",
            Program::Gunicorn,
            "proj.wsgi:application",
        ),
        (
            "Dockerfile",
            "CMD python manage.py migrate && \\\n    exec /venv/bin/uvicorn --host 0.0.0.0 \\\n    proj.asgi:app\n",
            Program::Uvicorn,
            "proj.asgi:app",
        ),
        (
            "Dockerfile",
            "ENTRYPOINT [\"gunicorn\", \"--bind\", \"0.0.0.0:80\"]\n\nCMD [\"proj.wsgi:application\"]\n",
            Program::Gunicorn,
            "proj.wsgi:application",
        ),
        (
            "docker-compose.yml",
            "services:\n  web:\n    command: >\n      gunicorn\n      proj.asgi:application\n      -k uvicorn.workers.UvicornWorker\n    ports: []\n",
            Program::Gunicorn,
            "proj.asgi:application",
        ),
        (
            "compose.yaml",
            "services:\n  web:\n    command:\n      - hypercorn\n      - proj.asgi:application\n",
            Program::Hypercorn,
            "proj.asgi:application",
        ),
        (
            "start.sh",
            "#!/bin/sh\nset -e; uwsgi --http :80 --module proj.wsgi:application\n",
            Program::Uwsgi,
            "proj.wsgi:application",
        ),
        (
            "web.service",
            "[Service]\nExecStart=/opt/venv/bin/gunicorn -k uvicorn_worker.UvicornWorker proj.asgi:application\n",
            Program::Gunicorn,
            "proj.asgi:application",
        ),
    ] {
        let command = only(path, text);
        assert_eq!(
            (command.program, command.target.unwrap().text.as_str()),
            (program, target),
            "{text}"
        );
    }
    assert_eq!(
        only("run.sh", "python manage.py runserver 0.0.0.0:8000\n").program,
        Program::Runserver
    );
    assert!(
        commands(&source(
            "Dockerfile",
            "RUN pip install uvicorn daphne\nRUN apt-get install -y uwsgi\n"
        ))
        .is_empty()
    );
}

#[test]
fn options_have_values() {
    let command = only(
        "Procfile",
        "web: gunicorn -k uvicorn.workers.UvicornWorker --forwarded-allow-ips='*' -w4 a.asgi:app\n",
    );
    assert_eq!(
        command.worker_class(),
        Some("uvicorn.workers.UvicornWorker")
    );
    assert_eq!(command.option(&["-w", "--workers"]), Some("4"));
    assert!(command.speaks_asgi() && command.trusts_forwarded_proto(None));
    let plain = only("Procfile", "web: gunicorn a.wsgi --bind 0.0.0.0:80\n");
    assert!(!plain.speaks_asgi() && !plain.trusts_forwarded_proto(None));
}

#[test]
fn the_environment_is_read() {
    for text in [
        "ENV DJANGO_SETTINGS_MODULE=a.b FORWARDED_ALLOW_IPS=*\n",
        "ENV DJANGO_SETTINGS_MODULE a.b\nENV FORWARDED_ALLOW_IPS \"*\"\n",
        "  environment:\n    - DJANGO_SETTINGS_MODULE=a.b\n    - FORWARDED_ALLOW_IPS=*\n",
        "  environment:\n    DJANGO_SETTINGS_MODULE: \"a.b\"\n    FORWARDED_ALLOW_IPS: '*'\n",
    ] {
        let environment = environment(&source("Dockerfile", text));
        assert_eq!(environment.settings[0].text, "a.b", "{text}");
        assert_eq!(environment.forwarded_allow_ips[0].text, "*", "{text}");
    }
    assert_eq!(modules("web: uvicorn proj.asgi:application"), ["proj.asgi"]);
}
