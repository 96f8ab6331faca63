#!/usr/bin/env Rscript
# session_loop.R: evaluates the requests of warm-agent in one long-lived R (docs/agent-protocol.md, "A session").
# Run it as `Rscript session_loop.R`, in a UTF-8 locale.
#
# Code runs as with `Rscript -e CODE`: values are printed, an error ends the request. The global environment, attached
# packages and options persist; not .libPaths(), sinks, graphics devices (closing them completes their files), the
# environment and the working directory. Unlike with Rscript a syntax error is found before anything has run,
# options(error) has no effect, and no "Calls:" follows an error.
#
# quit() and q() are replaced in base, so they end the request wherever they are called; they save nothing and leave
# .Last and finalizers alone. A resume reseeds R's generator and parallel's streams, not those that packages have beside.

# Below base's namespace, where functions that the code defines do not stand in for base's.
local(envir = new.env(parent = .BaseNamespaceEnv), {
  session <- Sys.getenv("WARM_SESSION")
  start <- getwd()
  pid <- Sys.getpid()

  decode <- function(field) {
    bytes <- charToRaw(field)
    at <- which(bytes == as.raw(0x25))
    if (length(at) > 0) {
      digits <- matrix(rawToChar(bytes[rbind(at + 1, at + 2)], multiple = TRUE), nrow = 2)
      bytes[at] <- as.raw(strtoi(paste0(digits[1, ], digits[2, ]), 16L))
      bytes <- bytes[-c(at + 1, at + 2)]
    }
    text <- rawToChar(bytes)
    Encoding(text) <- "UTF-8"
    text
  }

  set_env <- function(pairs) {
    if (length(pairs) == 0) return()
    name <- sub("=.*", "", pairs)
    do.call(Sys.setenv, structure(as.list(substring(pairs, nchar(name) + 2)), names = name))
  }

  # A restart, since handlers of the code must not catch it.
  leave <- function(save = "default", status = 0, runLast = TRUE) invokeRestart("warm_exit", as.integer(status) %% 256L)
  for (name in c("quit", "q")) {
    unlockBinding(name, baseenv())
    assign(name, leave, envir = baseenv())
    lockBinding(name, baseenv())
  }

  # What the code calls at its top level has no call there.
  call_of <- function(condition) {
    call <- conditionCall(condition)
    ours <- list(quote(eval(expr, globalenv())), quote(withVisible(eval(expr, globalenv()))))
    if (!any(vapply(ours, identical, NA, call))) call
  }

  report <- function(message, call = NULL) {
    head <- if (is.null(call)) "Error: " else paste("Error in", deparse(call, nlines = 1L)[1], ": ")
    long <- !is.null(call) && nchar(head) + nchar(sub("\n.*", "", message), "width") > 77
    cat(head, if (long) "\n  ", message, "\n", sep = "", file = stderr())
  }

  # R itself prints warnings when it returns to its top level, which here it never does.
  print_warnings <- function(found) {
    if (length(found) == 0) return()
    calls <- structure(lapply(found, call_of), names = vapply(found, conditionMessage, ""), class = "warnings")
    writeLines(utils::capture.output(print(calls)), stderr())
  }

  evaluate_one <- function(expr) {
    found <- list()
    on.exit(print_warnings(found))
    tryCatch(withCallingHandlers({
      result <- withVisible(eval(expr, globalenv()))
      if (result$visible) if (isS4(result$value)) methods::show(result$value) else print(result$value)
      TRUE
    }, warning = function(w) {
      if (getOption("warn") == 0) {
        if (length(found) < getOption("nwarnings", 50L)) found <<- c(found, list(w))
        tryInvokeRestart("muffleWarning")
      }
    }), error = function(e) {
      report(conditionMessage(e), call_of(e))
      FALSE
    })
  }

  evaluate <- function(code) {
    expressions <- tryCatch(parse(text = code, keep.source = FALSE, encoding = "UTF-8"), error = conditionMessage)
    if (is.character(expressions)) report(expressions)
    for (expr in as.list(expressions)) if (is.character(expressions) || !evaluate_one(expr)) return(1L)
    0L
  }

  execute <- function(workdir, code, ...) {
    if (!dir.exists(workdir)) stop("no directory ", workdir)
    before <- Sys.getenv()
    libraries <- .libPaths()
    on.exit({
      now <- Sys.getenv()
      Sys.unsetenv(setdiff(names(now), names(before)))
      set_env(setdiff(paste(names(before), before, sep = "="), paste(names(now), now, sep = "=")))
      if (!identical(libraries, .libPaths())) .libPaths(libraries)
      setwd(start)
    })
    setwd(workdir)
    set_env(c(...))
    # An interrupt that came while nothing ran is not for this code. Sys.sleep() is where R looks for one.
    tryCatch(allowInterrupts(Sys.sleep(0)), interrupt = function(i) NULL)
    # "abort" is what R calls its own way to its top level.
    withRestarts(tryCatch(allowInterrupts(evaluate(code)), interrupt = function(i) 130L),
      warm_exit = function(status) status, abort = function(...) 1L)
  }

  resume <- function(seed, tmpdir, ...) {
    set_env(c(..., paste0("TMPDIR=", tmpdir)))
    set.seed(as.integer(seed))
    if (isNamespaceLoaded("parallel")) parallel::mc.reset.stream()
    unlink(tempdir(), recursive = TRUE)
    tempdir(check = TRUE)
    0L
  }

  put_back_streams <- function() {
    # Messages first: they may go to a file that another sink closes.
    if (sink.number("message") != 2) sink(type = "message")
    while (sink.number() > 0) sink()
    if (isNamespaceLoaded("grDevices")) grDevices::graphics.off()
  }

  # Code may have closed all connections, and opened others by the same numbers.
  requests <- NULL
  next_line <- function() {
    found <- tryCatch(summary(requests)$description, error = function(e) "")
    if (found != session) requests <<- file(session, "r", blocking = TRUE, raw = TRUE)
    readLines(requests, 1)
  }

  serve <- function(nonce, kind, ...) {
    status <- tryCatch(switch(kind, exec = execute(...), resume = resume(...), stop("unknown request: ", kind)),
      error = function(e) {
        cat("session: ", conditionMessage(e), "\n", sep = "", file = stderr())
        1L
      })
    try(put_back_streams())
    # A child of parallel's that left the code by quit(): the answer is its parent's.
    if (Sys.getpid() != pid) tools::pskill(Sys.getpid(), tools::SIGKILL)
    for (stream in list(stdout(), stderr())) cat(sprintf("\x1ewarm %s %d\n", nonce, status), file = stream)
  }

  suspendInterrupts(while (length(line <- next_line()) > 0) {
    fields <- vapply(strsplit(line, " ", fixed = TRUE)[[1]], decode, "", USE.NAMES = FALSE)
    if (length(fields) > 1) do.call(serve, as.list(fields))
  })
})
