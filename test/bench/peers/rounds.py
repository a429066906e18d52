"""Rounds of one peer, `rounds.py PEER IMAGE`: for each line on standard input a fresh container, one command in it, the container gone.
Answers each with a line of JSON: milliseconds to the command's answer, and until the peer says that the container is gone."""

import asyncio
import json
import logging
import sys
import time


def llm_sandbox(image):
    import docker
    from llm_sandbox.docker import SandboxDockerSession

    client = docker.from_env()

    def begin():
        # As it is quickest: the image has all that is needed, and a client that is there already.
        session = SandboxDockerSession(client=client, image=image, skip_environment_setup=True, keep_template=True)
        session.open()
        return session

    def call(session):
        return session.execute_command("true").exit_code

    return begin, call, lambda session: session.close()


def swe_rex(image):
    from swerex.deployment.docker import DockerDeployment
    from swerex.runtime.abstract import Command

    logging.disable(logging.CRITICAL)
    loop = asyncio.new_event_loop()

    def begin():
        deployment = DockerDeployment(image=image, pull="never", startup_timeout=60)
        loop.run_until_complete(deployment.start())
        return deployment

    def call(deployment):
        return loop.run_until_complete(deployment.runtime.execute(Command(command=["true"]))).exit_code

    return begin, call, lambda deployment: loop.run_until_complete(deployment.stop())


def main():
    peer, image = sys.argv[1:]
    begin, call, end = {"llm-sandbox": llm_sandbox, "swe-rex": swe_rex}[peer](image)
    for _ in sys.stdin:
        started = time.perf_counter()
        sandbox = begin()
        try:
            exit_code = call(sandbox)
            answered = time.perf_counter()
        finally:
            end(sandbox)
        if exit_code != 0:
            sys.exit(f"{peer}: the command ended with {exit_code}")
        gone = time.perf_counter()
        print(json.dumps({"to answer": (answered - started) * 1000, "to all gone": (gone - started) * 1000}), flush=True)


main()
