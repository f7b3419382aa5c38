// Python programs: the interpreter, and the program that runs another one with an audit hook, which cannot be taken away
// again: no process, no socket, no signal, no foreign code; reads from Python's own directories, and few small files in the
// working directory.

import { spawnSync } from 'node:child_process'
import { OptionError } from '../../errors.js'

/** Reads {source, marker} from its input; prints the marker after the program has ended without an error. */
const BOOTSTRAP = `
import json, os, sys, traceback
import _posixsubprocess

task = json.loads(sys.stdin.buffer.read().decode())

def contain():
    devnull, realpath, decode = os.devnull, os.path.realpath, os.fsdecode
    here = realpath(os.getcwd())
    own = [sys.prefix, sys.base_prefix, sys.exec_prefix, '/usr/share/zoneinfo', *sys.path]
    readable = [realpath(folder) for folder in own if folder] + [here]
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    left = [16]
    harmless = {'os.listdir', 'os.scandir', 'os.walk', 'os.fwalk', 'os.putenv', 'os.unsetenv'}
    banned = ('os.', 'subprocess.', 'pty.', 'socket.', 'signal.', 'ctypes.', 'shutil.', 'resource.', 'fcntl.',
              'sqlite3.', 'syslog.', 'http.', 'urllib.', 'ftplib.', 'smtplib.', 'webbrowser.', 'winreg.', '_winapi.')
    foreign = {'ctypes', '_ctypes', 'cffi', '_xxsubinterpreters', '_interpreters', '_testcapi', '_testinternalcapi'}
    def inside(place, folders):
        return any(place == folder or place.startswith(folder.rstrip('/') + '/') for folder in folders)
    def refuse(what):
        raise PermissionError('not allowed here: ' + what)
    def hook(event, args):
        if event == 'open':
            place, _, flags = args
            if place is None or isinstance(place, int):
                return
            place = realpath(decode(place))
            if place == devnull:
                return
            if not (flags or 0) & writing:
                return None if inside(place, readable) else refuse('reading ' + place)
            if not inside(place, [here]) or left[0] == 0:
                refuse('writing ' + place)
            left[0] -= 1
        elif event == 'import':
            if args[0] in foreign:
                refuse('importing ' + args[0])
        elif event.startswith(banned) and event not in harmless:
            refuse(event)
    _posixsubprocess.fork_exec = lambda *args, **rest: refuse('starting a process')
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    except (ImportError, ValueError, OSError):
        pass
    sys.addaudithook(hook)

source, end, done, say = task['source'], task['marker'].encode(), os._exit, os.write
contain()
try:
    exec(compile(source, 'program.py', 'exec'), {'__name__': '__main__'})
except BaseException as error:
    say(2, traceback.format_exception_only(type(error), error)[-1].encode('utf-8', 'replace')[:400])
    done(1)
try:
    sys.stdout.flush()
except BaseException:
    done(1)
say(1, end)
done(0)
`

/** Without the user's site-packages, environment variables and byte code. */
export function pythonCommand(interpreter: string): string[] {
  return [interpreter, '-I', '-B', '-X', 'utf8', '-c', BOOTSTRAP]
}

/**
 * The path of python3's interpreter (the name may be that of a script which looks for it). Throws OptionError
 * PYTHON_MISSING. `task`: what needs it.
 */
export function findPython(task: string): string {
  const script = 'import sys; assert sys.version_info >= (3, 8); print(sys.executable)'
  const { status, stdout } = spawnSync('python3', ['-I', '-c', script], { encoding: 'utf8', timeout: 30_000 })
  const interpreter = stdout?.trim() ?? ''
  if (status === 0 && interpreter !== '') return interpreter
  throw new OptionError(
    'PYTHON_MISSING',
    `${task} runs Python programs, and there is no python3 of version 3.8 or later here; install it, or leave the task out`,
  )
}
