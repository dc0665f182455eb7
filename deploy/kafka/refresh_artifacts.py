"""Write `artifacts.lock` anew: let Maven resolve the broker's class path once, and keep the flat list with hashes.

    python deploy/kafka/refresh_artifacts.py --kafka 4.4.0 --log4j 2.26.1

Needs `mvn` on the path. Only for those who upgrade Kafka; running Earmark needs the lock file alone.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import tempfile
from pathlib import Path

LOCK = Path(__file__).with_name("artifacts.lock")

HEADER = """\
# Kafka {kafka}'s class path, as Maven resolves it: group:artifact:version sha256.
# Written by refresh_artifacts.py; do not edit.
"""

# kafka-tools-api is named by the broker's POM, was not published for 4.4.0, and is needed by none of the classes we run. The broker
# logs through slf4j 1.7: with log4j-slf4j2-impl it would be silent.
POM = """\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>earmark</groupId><artifactId>kafka-class-path</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{kafka}</version>
      <exclusions>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>kafka-tools-api</artifactId></exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>{log4j}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{log4j}</version>
    </dependency>
  </dependencies>
</project>
"""


def resolved_jars(kafka: str, log4j: str, folder: Path) -> list[Path]:
    """Maven's answer: the jars, laid out under `folder` as group/artifact/version/file."""
    pom = folder / "pom.xml"
    pom.write_text(POM.format(kafka=kafka, log4j=log4j), encoding="utf-8")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-Dmdep.useRepositoryLayout=true"]
    subprocess.run(["mvn", "-q", "-B", "-f", str(pom), *goal, f"-DoutputDirectory={folder / 'jars'}"], check=True)
    return sorted((folder / "jars").rglob("*.jar"))


def lock_line(jar: Path, root: Path) -> str:
    """`group:artifact:version sha256`; fails on a jar with a classifier, for which the format has no place."""
    *group, artifact, version = jar.relative_to(root).parent.parts
    assert jar.name == f"{artifact}-{version}.jar", f"{jar.name} has a classifier"
    return f"{'.'.join(group)}:{artifact}:{version} {hashlib.sha256(jar.read_bytes()).hexdigest()}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write artifacts.lock anew.")
    parser.add_argument("--kafka", default="4.4.0")
    parser.add_argument("--log4j", default="2.26.1")
    versions = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        jars = resolved_jars(versions.kafka, versions.log4j, Path(scratch))
        lines = sorted(lock_line(jar, Path(scratch) / "jars") for jar in jars)
    LOCK.write_text(HEADER.format(kafka=versions.kafka) + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
