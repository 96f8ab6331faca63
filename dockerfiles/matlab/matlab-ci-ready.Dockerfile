# Makes any image with MATLAB one that warmd can keep warm: the agent as PID 1, its helpers, and the session loop.
# `dockerfiles/build matlab` assembles the context; `--base IMAGE` puts the agent over an image of your own.
ARG BASE=localhost/warmd/matlab-non-interactive:R2024b
FROM ${BASE}

# A Dockerfile cannot ask for the user of its base. The images of MathWorks call theirs `matlab` too; for another one:
# --engine-arg --build-arg=BASE_USER=NAME.
ARG BASE_USER=matlab

COPY agent/warm-agent /usr/local/bin/
COPY agent/sessions/matlabSessionLoop.m /opt/warm/

USER root
# Sticky and open, because neither the user of the base nor that of a template is known here.
RUN ln -s warm-agent /usr/local/bin/matlab-bs \
    && ln -s warm-agent /usr/local/bin/matlab-bs-wait \
    && ln -s warm-agent /usr/local/bin/warm-exec \
    && install -d -m 1777 /run/warm
USER ${BASE_USER}
# Fails now, not when warmed, where the base has no such user.
RUN test -w /run/warm

ENV MATLABPATH=/opt/warm
LABEL io.warmd.agent=/run/warm/agent.sock
# The licence token is no variable of this image: warmd hands it to the agent, which gives it to MATLAB.
ENTRYPOINT ["warm-agent", "--session", "--"]
CMD ["matlab-batch", "matlabSessionLoop;"]
