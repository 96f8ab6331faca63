function matlabSessionLoop(varargin)
% matlabSessionLoop()  evaluates the requests of the container's agent in this MATLAB or Octave session, for ever.
%
% Runs in MATLAB R2020a or later and in GNU Octave 9: only syntax and functions common to both, but for what stands
% behind a test for Octave. Code is evaluated in the base workspace, where variables persist; the current folder, the
% path and the environment are put back after each request. docs/agent-protocol.md describes the protocol.
%
% exit(n) and quit(n) in a request end the request with status n, not the session, by way of an error. The first such
% status counts, so  try, work, exit(0), catch, exit(1), end  works; but code after a caught exit still runs, and code
% that calls builtin('exit') or takes the stand-ins off the path ends the session.
if nargin > 0
    leave(varargin{:});
end
setUp();
answerForEver(getenv('WARM_SESSION'));
end

function setUp()
if isOctave()
    % Output appears when it is printed, not when a buffer is full.
    page_screen_output(false);
    page_output_immediately(true);
end
shadowExit(fullfile(fileparts(getenv('WARM_SESSION')), 'bin'));
end

function answerForEver(fifo)
while true
    fields = strsplit(nextLine(fifo), ' ');
    if isOctave()
        answerGuarded(fifo, fields);
    else
        answer(fields);
    end
end
end

function answerGuarded(fifo, fields)
% An interrupt passes every catch in Octave and would end it, a script being run. The clean-up does not return after
% one, so the session goes on inside it. (Text, because MATLAB does not know the words.)
answered = false; %#ok<NASGU>
eval(['unwind_protect, answer(fields); answered = true; unwind_protect_cleanup, if ~answered, ' ...
    'finish(fields{1}, 130); answerForEver(fifo); end, end_unwind_protect']);
end

function answer(fields)
status = 1;
try
    text = cellfun(@decode, fields(3:end), 'UniformOutput', false);
    switch fields{2}
        case 'exec'
            status = execute(text{1}, text{2}, text(3:end));
        case 'resume'
            resume(str2double(text{1}), text{2}, text(3:end));
            status = 0;
        otherwise
            fprintf(2, 'matlabSessionLoop: unknown request "%s"\n', fields{2});
    end
catch e
    fprintf(2, '%s', report(e));
end
finish(fields{1}, status);
end

function status = execute(folder, code, settings)
status = 0;
setenv('WARM_EXIT_STATUS', '');
oldFolder = pwd();
oldPath = path();
[names, oldValues] = applySettings(settings);
try
    changeFolder(folder);
    evalin('base', code);
catch e
    status = 1;
    if isempty(getenv('WARM_EXIT_STATUS'))
        fprintf(2, '%s', report(e));
    end
end
if ~isempty(getenv('WARM_EXIT_STATUS'))
    status = str2double(getenv('WARM_EXIT_STATUS'));
end
for k = 1:numel(names)
    putBack(names{k}, oldValues{k});
end
if ~strcmp(path(), oldPath)
    path(oldPath);
end
changeFolder(oldFolder);
end

function changeFolder(folder)
% Octave reads every folder of its path again for each cd, needed or not.
if ~strcmp(folder, pwd())
    cd(folder);
end
end

function resume(seed, temporaryFolder, settings)
applySettings([settings, {['TMPDIR=' temporaryFolder]}]);
if isOctave()
    for generator = {@rand, @randn, @rande, @randg, @randp}
        generator{1}('twister', seed);
    end
else
    rng(seed, 'twister');
    clear tempdir  % it remembers its folder
end
end

function finish(nonce, status)
for stream = 1:2
    fprintf(stream, '%swarm %s %d\n', char(30), nonce, status);
end
if isOctave()
    fflush(stdout);
    fflush(stderr);
end
end

function line = nextLine(fifo)
% Code may have closed all files. Where reading the FIFO does not work as a file (it does in Octave; for MATLAB nobody
% promises it) a shell reads it.
persistent fid
persistent useShell
if isempty(useShell)
    useShell = false;
end
line = -1;
if ~useShell
    if isempty(fid) || ~any(fopen('all') == fid)
        fid = fopen(fifo, 'r');
    end
    line = '';
    while ischar(line) && isempty(line)
        line = fgetl(fid);
    end
end
if ~ischar(line)
    useShell = true;
    [~, line] = system(['while [ -z "$line" ]; do IFS= read -r line; done < ' fifo '; printf %s "$line"']);
    % The last line alone: MATLAB captures stderr too, where the loader may have left warnings.
    line = regexp(strtrim(line), '[^\n]*$', 'match', 'once');
end
end

function text = decode(field)
at = strfind(field, '%');
bytes = uint8(field);
if ~isempty(at)
    bytes(at) = hex2dec(reshape(field([at + 1; at + 2]), 2, [])');
    bytes([at + 1, at + 2]) = [];
end
if isOctave()
    text = char(bytes);
else
    text = native2unicode(bytes, 'UTF-8');
end
end

function [names, oldValues] = applySettings(settings)
names = cell(size(settings));
oldValues = cell(size(settings));
for k = 1:numel(settings)
    equals = find(settings{k} == '=', 1);
    names{k} = settings{k}(1:equals - 1);
    oldValues{k} = getenv(names{k});
    setenv(names{k}, settings{k}(equals + 1:end));
end
end

function putBack(name, value)
if isempty(value) && exist('unsetenv') %#ok<EXIST> a builtin in one language, a function in the other
    unsetenv(name);
else
    setenv(name, value);
end
end

function text = report(e)
if isOctave()
    text = sprintf('error: %s', e.message);
    for frame = e.stack(:)'
        if ~isempty(strfind(frame.file, mfilename('fullpath'))) %#ok<STREMP>
            break
        end
        text = sprintf('%s\n    in %s, line %d', text, frame.name, frame.line);
    end
else
    text = getReport(e, 'extended', 'hyperlinks', 'off');
end
if ~isempty(e.identifier)
    text = sprintf('%s\n[%s]', text, e.identifier);
end
text = sprintf('%s\n', text);
end

function shadowExit(folder)
% Stand-ins on the path rather than beside this file: only a session must have them.
if ~exist(folder, 'dir')
    mkdir(folder);
end
for name = {'exit', 'quit'}
    fid = fopen(fullfile(folder, [name{1} '.m']), 'w');
    fprintf(fid, 'function %s(varargin)\nmatlabSessionLoop(''leave'', varargin{:});\n', name{1});
    fclose(fid);
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

function answer = isOctave()
answer = exist('OCTAVE_VERSION', 'builtin') ~= 0;
end
