# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_novactl_global_optspecs
    string join \n root= disk= xenstore= format= color= v/verbose q/quiet h/help V/version
end

function __fish_novactl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_novactl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_novactl_using_subcommand
    set -l cmd (__fish_novactl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c novactl -n "__fish_novactl_needs_command" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_needs_command" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_needs_command" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_needs_command" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_needs_command" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_needs_command" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_needs_command" -s V -l version -d 'Print version'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "doctor" -d 'Find what is wrong, say what mends it and which recovery route applies'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "check-xentools" -d 'Check the XenServer Tools, link by link from the hypervisor to the host'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "scan-ifaces" -d 'Show every interface: what it is, what the host says of it, IPv6'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "reset-network" -d 'Configure the NICs as the host says'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "fix-image" -d 'Make a server, disk or image ready to be captured as an image'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "set-password" -d 'Set a password: of root, or of another user'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "explain" -d 'Say what a check means, why it matters and how to mend it by hand'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "agent" -d 'Be the agent: serve the host, or carry out one command of its'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "undo" -d 'List what was changed, take a change back, or keep one'
complete -c novactl -n "__fish_novactl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l only -d 'Run only these checks' -r
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l skip -d 'Leave these checks out' -r
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l topic -d 'Run only the checks of these topics' -r -f -a "xen\t'Is there a hypervisor to talk to'
xentools\t'The XenServer Tools in the guest'
agent\t'nova-agent itself'
interfaces\t'The network interfaces that exist'
network\t'How the network is configured'
names\t'The names of the server'
access\t'Who can log in'
cloud-init\t'cloud-init, beside the agent or instead of it'
image\t'The disk and what an image of it carries on'
registration\t'Subscription, clock, SELinux'"
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l bundle -d 'Also write a support bundle: typed facts, no file\'s content' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l list -d 'List the checks and run none'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l strict -d 'Count warnings as problems (exit code 1)'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l no-probe -d 'Send no request to the running agent: leaves out agent-answers'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l fix -d 'Mend what can be mended: shows the change, asks, and looks again'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l guide -d 'Ask from question to question, on a terminal; mend or go on at each'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -l dry-run -d 'Show what would change and change nothing'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -s y -l yes -d 'Do not ask'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand check-xentools" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand check-xentools" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand check-xentools" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand check-xentools" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand check-xentools" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand check-xentools" -l strict -d 'Count warnings as problems (exit code 1)'
complete -c novactl -n "__fish_novactl_using_subcommand check-xentools" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand check-xentools" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand check-xentools" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand scan-ifaces" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand scan-ifaces" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand scan-ifaces" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand scan-ifaces" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand scan-ifaces" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand scan-ifaces" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand scan-ifaces" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand scan-ifaces" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l from -d 'Take the network from a config drive or a JSON file instead of XenStore' -r
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l address -d 'Set an address by hand; repeat it for more' -r
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l gateway -d 'Default gateway, with --address: of the NIC named first' -r
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l dns -d 'Name server, with --address' -r
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l backend -d 'Write for this back end [default: the one in charge]' -r -f -a "netplan\t''
networkd\t''
keyfile\t''
wicked\t''
netctl\t''
ifcfg\t''
ifupdown\t''
netifrc\t''
rc.conf\t''"
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l revert-after -d 'Take the change back after SECONDS unless it is kept; 0 never does' -r
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l force -d 'Also under RackConnect v2 automation, to a gateway that is silent, or for a back end that nothing reads'
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -l dry-run -d 'Show what would change and change nothing'
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -s y -l yes -d 'Do not ask'
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand reset-network" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l metadata -d 'Check the image\'s properties: JSON of the image API; - reads stdin' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l only -d 'Only these checks and steps' -r
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l skip -d 'Leave these checks and steps out' -r
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l cloud-init -d 'Prepare the image for cloud-init instead of the agent'
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l install-agent -d 'Put this program in place as the agent, in the stead of others'
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l generalize -d 'Remove what must not be cloned: machine id, host keys, logs, ...'
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l list-steps -d 'List the steps of --generalize and do nothing'
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -l dry-run -d 'Show what would change and change nothing'
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -s y -l yes -d 'Do not ask'
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand fix-image" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -l stdin -d 'Read it from the standard input: one line'
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -l generate -d 'Draw one of 20 letters and digits and print it once'
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -l unlock -d 'Take a lock, expiry, failed logins or a shell that refuses away'
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -l dry-run -d 'Show what would change and change nothing'
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -s y -l yes -d 'Do not ask'
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand set-password" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand explain" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand explain" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand explain" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand explain" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand explain" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand explain" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand explain" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -f -a "run" -d 'Listen on XenStore and execute the host\'s commands'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -f -a "exec" -d 'Carry out one command here and now, and print the answer'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -f -a "refuse" -d 'Refuse a request of the host that is stuck, and remove it'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -f -a "tidy" -d 'Remove old answers, which nobody else removes'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -f -a "install" -d 'Put this program in place as the agent, in the stead of a broken one'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -f -a "uninstall" -d 'Take the installation back, byte for byte'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and not __fish_seen_subcommand_from run exec refuse tidy install uninstall help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from run" -l log-file -d 'Log to FILE instead of standard error' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from run" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from run" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from run" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from run" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from run" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from run" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from run" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -l dry-run -d 'Show what would change and change nothing'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -s y -l yes -d 'Do not ask'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from exec" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from refuse" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from refuse" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from refuse" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from refuse" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from refuse" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from refuse" -s y -l yes -d 'Ask nothing'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from refuse" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from refuse" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from refuse" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from tidy" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from tidy" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from tidy" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from tidy" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from tidy" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from tidy" -s y -l yes -d 'Ask nothing'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from tidy" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from tidy" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from tidy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -l dry-run -d 'Show what would change and change nothing'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -s y -l yes -d 'Do not ask'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -l force -d 'Also when a file was changed since'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -l dry-run -d 'Show what would change and change nothing'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -s y -l yes -d 'Do not ask'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from uninstall" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from help" -f -a "run" -d 'Listen on XenStore and execute the host\'s commands'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from help" -f -a "exec" -d 'Carry out one command here and now, and print the answer'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from help" -f -a "refuse" -d 'Refuse a request of the host that is stuck, and remove it'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from help" -f -a "tidy" -d 'Remove old answers, which nobody else removes'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from help" -f -a "install" -d 'Put this program in place as the agent, in the stead of a broken one'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from help" -f -a "uninstall" -d 'Take the installation back, byte for byte'
complete -c novactl -n "__fish_novactl_using_subcommand agent; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l unless-kept -d 'Wait SECONDS, then take ID back unless it was kept: the process behind --revert-after' -r
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l root -d 'Look at the system under DIR instead of the running one' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l disk -d 'Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK file' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l xenstore -d 'XenStore: a device, a unix socket or a JSON dump [default: found by itself]' -r -F
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l format -d 'How the result is written' -r -f -a "table\t'For people'
json\t'One JSON document'
nagios\t'One line of a monitoring plugin, with that world\'s exit codes'
prometheus\t'Metrics for node_exporter\'s textfile collector'
junit\t'JUnit\'s XML: a test case for each finding'
markdown\t'A ticket\'s text'"
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal that can, unless NO_COLOR is set'
always\t'Also into files and pipes'
never\t'Never'"
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l list -d 'List the journal'
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l keep -d 'Keep a change that would take itself back'
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l force -d 'Also when a file was edited since; the edit stays in the journal'
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l forget -d 'Delete the originals that the journal keeps, of all changes or of ID: what was changed stays, and cannot be taken back any more'
complete -c novactl -n "__fish_novactl_using_subcommand undo" -l dry-run -d 'Show what would change and change nothing'
complete -c novactl -n "__fish_novactl_using_subcommand undo" -s y -l yes -d 'Do not ask'
complete -c novactl -n "__fish_novactl_using_subcommand undo" -s v -l verbose -d 'Say more; twice: what is read and run as well'
complete -c novactl -n "__fish_novactl_using_subcommand undo" -s q -l quiet -d 'Say only errors and what was asked for; of a diagnosis the verdict'
complete -c novactl -n "__fish_novactl_using_subcommand undo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "doctor" -d 'Find what is wrong, say what mends it and which recovery route applies'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "check-xentools" -d 'Check the XenServer Tools, link by link from the hypervisor to the host'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "scan-ifaces" -d 'Show every interface: what it is, what the host says of it, IPv6'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "reset-network" -d 'Configure the NICs as the host says'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "fix-image" -d 'Make a server, disk or image ready to be captured as an image'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "set-password" -d 'Set a password: of root, or of another user'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "explain" -d 'Say what a check means, why it matters and how to mend it by hand'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "agent" -d 'Be the agent: serve the host, or carry out one command of its'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "undo" -d 'List what was changed, take a change back, or keep one'
complete -c novactl -n "__fish_novactl_using_subcommand help; and not __fish_seen_subcommand_from doctor check-xentools scan-ifaces reset-network fix-image set-password explain agent undo help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c novactl -n "__fish_novactl_using_subcommand help; and __fish_seen_subcommand_from agent" -f -a "run" -d 'Listen on XenStore and execute the host\'s commands'
complete -c novactl -n "__fish_novactl_using_subcommand help; and __fish_seen_subcommand_from agent" -f -a "exec" -d 'Carry out one command here and now, and print the answer'
complete -c novactl -n "__fish_novactl_using_subcommand help; and __fish_seen_subcommand_from agent" -f -a "refuse" -d 'Refuse a request of the host that is stuck, and remove it'
complete -c novactl -n "__fish_novactl_using_subcommand help; and __fish_seen_subcommand_from agent" -f -a "tidy" -d 'Remove old answers, which nobody else removes'
complete -c novactl -n "__fish_novactl_using_subcommand help; and __fish_seen_subcommand_from agent" -f -a "install" -d 'Put this program in place as the agent, in the stead of a broken one'
complete -c novactl -n "__fish_novactl_using_subcommand help; and __fish_seen_subcommand_from agent" -f -a "uninstall" -d 'Take the installation back, byte for byte'
