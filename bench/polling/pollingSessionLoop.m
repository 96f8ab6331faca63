function pollingSessionLoop()
% The other side of polling/matlab-bs: looks every 200 ms for a file with code.
work = '/run/warm';
while true
    if exist(fullfile(work, 'code'), 'file')
        code = fileread(fullfile(work, 'code'));
        delete(fullfile(work, 'code'));
        answer = evalc('try, evalin(''base'', code); catch e, disp(e.message); end');
        fid = fopen(fullfile(work, 'answer'), 'w');
        fprintf(fid, '%s', answer);
        fclose(fid);
        fclose(fopen(fullfile(work, 'answered'), 'w'));
    else
        pause(0.2);
    end
end
end
