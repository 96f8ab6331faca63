function matlabSessionLoop(varargin)
% matlabSessionLoop()  serves the requests of matlab-bs in this MATLAB or Octave session, for ever.
%
% Runs in MATLAB R2020a or later and in GNU Octave 9: only syntax and functions common to both. Code is evaluated in
% the base workspace, where variables persist. matlab-bs describes the protocol and its limits; its side of it also
% does all FIFO handling, through system(), since no way to block on a FIFO is common to both languages.
%
% exit(n) and quit(n) in a request end the request with status n, not the session, by way of an error. The first such
% status counts, so  try, work, exit(0), catch, exit(1), end  works; but code after a caught exit still runs, and code
% that calls builtin('exit') or removes the stand-ins from the path ends the session.
if nargin > 0
    leave(varargin{:});
end
session = '/run/warm/session';
if exist('OCTAVE_VERSION', 'builtin')
    pid = getpid();
else
    pid = feature('getpid');
end
% The absolute path, as code may change PATH later; exec, to have no shell in each checkpoint.
helper = ['exec ' shell('command -v matlab-bs')];
shell(sprintf('%s -open %d', helper, pid));
shadowExit(fullfile(session, 'bin'));
% A rehearsal, so that the first request finds everything loaded.
evaluate('sprintf(''%d'', 1);');

alive = -1;
id = '';
while true
    % Never read: its writing end tells clients, by end of file, that this process has died. Code may close it.
    if ~any(fopen('all') == alive)
        alive = fopen(fullfile(session, 'reply'), 'r+');
    end
    id = shell(sprintf('%s -serve %s', helper, id));
    serve(fullfile(session, 'requests', id));
end
end

function serve(request)
setenv('WARM_EXIT_STATUS', '');
out = '';
failure = [];
try
    code = fileread(fullfile(request, 'code'));
    [out, failure] = evaluate(code);
catch e
    failure = e;
end
status = str2double(getenv('WARM_EXIT_STATUS'));
if ~isnan(status)
    message = '';
elseif isempty(failure)
    status = 0;
    message = '';
else
    status = 1;
    message = report(failure);
end
store(fullfile(request, 'out'), out);
store(fullfile(request, 'err'), message);
store(fullfile(request, 'status'), sprintf('%d\n', status));
end

function [out, failure] = evaluate(code)
% The error is caught inside evalc: outside, what was printed before it would be lost.
failure = []; %#ok<NASGU>
out = evalc('failure = failureOf(code);');
end

function failure = failureOf(code)
failure = [];
try
    evalin('base', code);
catch e
    failure = e;
end
end

function text = report(e)
text = sprintf('error: %s', e.message);
if ~isempty(e.identifier)
    text = sprintf('%s [%s]', text, e.identifier);
end
for frame = e.stack(:)'
    if ~isempty(strfind(frame.file, mfilename('fullpath'))) || strcmp(frame.name, 'failureOf') %#ok<STREMP>
        break
    end
    text = sprintf('%s\n    in %s, line %d', text, frame.name, frame.line);
end
text = sprintf('%s\n', text);
end

function store(file, text)
fid = fopen(file, 'w');
if fid >= 0
    fprintf(fid, '%s', text);
    fclose(fid);
end
end

function word = shell(command)
[status, out] = system([command ' </dev/null']);
if status ~= 0
    error('warm:shell', '"%s" failed with status %d: %s', command, status, out);
end
% The last word alone: MATLAB captures stderr too, where the loader and the locale may leave warnings.
word = regexp(strtrim(out), '\S*$', 'match', 'once');
end

function shadowExit(folder)
% Stand-ins on the path rather than beside this file: only a session must have them.
for name = {'exit', 'quit'}
    store(fullfile(folder, [name{1} '.m']), ...
        sprintf('function %s(varargin)\nmatlabSessionLoop(''leave'', varargin{:});\n', name{1}));
end
warning('off', 'MATLAB:dispatcher:nameConflict');
warning('off', 'Octave:shadowed-function');
addpath(folder);
end

function leave(varargin)
% varargin: 'leave' and the arguments of exit. The environment survives `clear all`.
status = 0;
if nargin > 1 && isnumeric(varargin{2})
    status = varargin{2};
end
if isempty(getenv('WARM_EXIT_STATUS'))
    setenv('WARM_EXIT_STATUS', sprintf('%d', mod(status, 256)));
end
error('warm:exit', 'exit');
end
